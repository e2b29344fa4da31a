/* tests/sim/scenarios.c: what the model must get right, one small experiment each. They assert nothing: what the real kernel
 * says in the same experiment is what is right. Begun from the programs that found out (kernel.md, section 8).
 * Called by conformance.c; calls lab.h. */
#include <poll.h>
#include <sys/socket.h>

#include "lab.h"

enum { MANY = 1 << 20 };

/* ---- pipes ---- */

static void small_writes_share_a_slot(struct lab *l)
{
        struct lab_ends p = lab_pipe(l, 1);

        for (int i = 0; i < 5; i++)
                lab_write(l, p.wr, 1000);
        lab_read(l, p.rd, MANY);
        lab_read(l, p.rd, MANY);
}

static void an_odd_rest_goes_behind_the_last_write(struct lab *l)
{
        struct lab_ends p = lab_pipe(l, 2);

        lab_write(l, p.wr, 100);
        lab_write(l, p.wr, LAB_PAGE + 50);
        lab_write(l, p.wr, LAB_PAGE);
        lab_write(l, p.wr, 1);
        lab_read(l, p.rd, MANY);
}

static void a_write_is_short_when_slots_run_out(struct lab *l)
{
        struct lab_ends p = lab_pipe(l, 4);

        lab_write(l, p.wr, 5 * LAB_PAGE + 7);
        lab_write(l, p.wr, 1);
        lab_read(l, p.rd, LAB_PAGE / 2);
        lab_write(l, p.wr, 1);
        lab_read(l, p.rd, LAB_PAGE);
        lab_write(l, p.wr, LAB_PAGE);
        lab_read(l, p.rd, MANY);
}

static void an_empty_pipe_says_eagain_then_its_end(struct lab *l)
{
        struct lab_ends p = lab_pipe(l, LAB_SLOTS);

        lab_read(l, p.rd, 10);
        lab_shut(l, p.wr);
        lab_read(l, p.rd, 10);
}

static void what_was_written_is_read_before_the_end(struct lab *l)
{
        struct lab_ends p = lab_pipe(l, LAB_SLOTS);

        lab_write(l, p.wr, 500);
        lab_shut(l, p.wr);
        lab_read(l, p.rd, 300);
        lab_read(l, p.rd, 300);
        lab_read(l, p.rd, 300);
}

static void a_pipe_without_reader_is_broken(struct lab *l)
{
        struct lab_ends p = lab_pipe(l, LAB_SLOTS);

        lab_shut(l, p.rd);
        lab_write(l, p.wr, 10);
        lab_poll(l, p.wr);
}

static void poll_of_a_pipe(struct lab *l)
{
        struct lab_ends p = lab_pipe(l, 2);

        lab_poll(l, p.rd);
        lab_poll(l, p.wr);
        lab_write(l, p.wr, 10);
        lab_poll(l, p.rd);
        lab_poll(l, p.wr);
        lab_write(l, p.wr, 2 * LAB_PAGE);
        lab_poll(l, p.wr);
        lab_shut(l, p.wr);
        lab_poll(l, p.rd);
        lab_read(l, p.rd, MANY);
        lab_poll(l, p.rd);
}

static void poll_of_an_empty_pipe_without_writer_is_hup_alone(struct lab *l)
{
        struct lab_ends p = lab_pipe(l, 2);

        lab_shut(l, p.wr);
        lab_poll(l, p.rd);
}

static void one_byte_takes_a_slot_when_spliced(struct lab *l)
{
        struct lab_ends a = lab_pipe(l, LAB_SLOTS), b = lab_pipe(l, 4);

        lab_write(l, a.wr, 100);
        for (int i = 0; i < 5; i++)
                lab_splice(l, a.rd, b.wr, 1);
        lab_poll(l, b.wr);
        lab_write(l, b.wr, 1);
        lab_read(l, b.rd, MANY);
}

static void a_slot_that_moved_whole_still_merges(struct lab *l)
{
        struct lab_ends a = lab_pipe(l, LAB_SLOTS), b = lab_pipe(l, 1);

        lab_write(l, a.wr, 100);
        lab_splice(l, a.rd, b.wr, 100);
        lab_poll(l, b.wr);
        lab_write(l, b.wr, 50);
        lab_read(l, b.rd, MANY);
}

static void a_part_of_a_slot_does_not_merge(struct lab *l)
{
        struct lab_ends a = lab_pipe(l, LAB_SLOTS), b = lab_pipe(l, 1);

        lab_write(l, a.wr, 100);
        lab_splice(l, a.rd, b.wr, 60);
        lab_write(l, b.wr, 50);
        lab_read(l, b.rd, MANY);
        lab_read(l, a.rd, MANY);
}

static void splice_is_short_by_slots(struct lab *l)
{
        struct lab_ends a = lab_pipe(l, 4), b = lab_pipe(l, 2);

        lab_write(l, a.wr, 4 * LAB_PAGE);
        lab_splice(l, a.rd, b.wr, MANY);
        lab_splice(l, a.rd, b.wr, MANY);
        lab_read(l, b.rd, MANY);
        lab_splice(l, a.rd, b.wr, MANY);
        lab_read(l, b.rd, MANY);
}

static void splice_from_an_empty_pipe(struct lab *l)
{
        struct lab_ends a = lab_pipe(l, 4), b = lab_pipe(l, 4);

        lab_splice(l, a.rd, b.wr, MANY);
        lab_shut(l, a.wr);
        lab_splice(l, a.rd, b.wr, MANY);
}

static void the_end_is_not_said_to_a_full_pipe(struct lab *l)
{
        struct lab_ends a = lab_pipe(l, 4), b = lab_pipe(l, 1);

        lab_write(l, b.wr, LAB_PAGE);
        lab_shut(l, a.wr);
        lab_splice(l, a.rd, b.wr, MANY);
        lab_tee(l, a.rd, b.wr, MANY);
        lab_read(l, b.rd, MANY);
        lab_splice(l, a.rd, b.wr, MANY);
}

static void splice_into_a_broken_pipe(struct lab *l)
{
        struct lab_ends a = lab_pipe(l, 4), b = lab_pipe(l, 4);

        lab_shut(l, b.rd);
        lab_splice(l, a.rd, b.wr, MANY);
        lab_write(l, a.wr, 10);
        lab_splice(l, a.rd, b.wr, MANY);
        lab_tee(l, a.rd, b.wr, MANY);
        lab_read(l, a.rd, MANY);
}

static void no_input_and_no_reader(struct lab *l)
{
        struct lab_ends a = lab_pipe(l, 4), b = lab_pipe(l, 4);

        lab_shut(l, b.rd);
        lab_shut(l, a.wr);
        lab_splice(l, a.rd, b.wr, MANY);
        lab_tee(l, a.rd, b.wr, MANY);
}

static void what_splice_refuses(struct lab *l)
{
        struct lab_ends a = lab_pipe(l, 4), b = lab_pipe(l, 4), f = lab_file(l, 10, LAB_FILE);

        lab_write(l, a.wr, 10);
        lab_splice(l, a.rd, a.wr, 10);
        lab_tee(l, a.rd, a.wr, 10);
        lab_splice(l, a.wr, b.wr, 10);
        lab_splice(l, a.rd, b.rd, 10);
        lab_splice_at(l, a.rd, 0, b.wr, -1, 10);
        lab_splice_at(l, a.rd, -1, b.wr, 0, 10);
        lab_splice(l, f.rd, f.wr, 10);
        lab_tee(l, f.rd, b.wr, 10);
        lab_splice(l, a.rd, b.wr, 0);
        lab_read(l, a.rd, MANY);
}

static void null_takes_everything(struct lab *l)
{
        struct lab_ends a = lab_pipe(l, LAB_SLOTS);
        struct slot *null = lab_null(l);

        lab_write(l, a.wr, 3 * LAB_PAGE);
        lab_splice(l, a.rd, null, 100);
        lab_splice(l, a.rd, null, MANY);
        lab_splice(l, a.rd, null, MANY);
        lab_shut(l, a.wr);
        lab_splice(l, a.rd, null, MANY);
}

static void a_pipe_shrinks_down_to_what_is_in_it(struct lab *l)
{
        struct lab_ends a = lab_pipe(l, 8);

        lab_write(l, a.wr, 3 * LAB_PAGE);
        lab_resize(l, a.wr, 2);
        lab_resize(l, a.wr, 4);
        lab_write(l, a.wr, 2 * LAB_PAGE);
        lab_resize(l, a.wr, 8);
        lab_write(l, a.wr, LAB_PAGE);
        lab_read(l, a.rd, MANY);
}

/* ---- tee ---- */

static void tee_begins_at_the_head_each_time(struct lab *l)
{
        struct lab_ends a = lab_pipe(l, LAB_SLOTS), b = lab_pipe(l, LAB_SLOTS);

        lab_write(l, a.wr, 1000);
        lab_tee(l, a.rd, b.wr, 300);
        lab_tee(l, a.rd, b.wr, 300);
        lab_read(l, b.rd, MANY);
        lab_read(l, a.rd, MANY);
}

static void tee_is_short_by_slots(struct lab *l)
{
        struct lab_ends a = lab_pipe(l, 4), b = lab_pipe(l, 2);

        lab_write(l, a.wr, 4 * LAB_PAGE);
        lab_tee(l, a.rd, b.wr, MANY);
        lab_tee(l, a.rd, b.wr, MANY);
        lab_read(l, b.rd, MANY);
        lab_tee(l, a.rd, b.wr, LAB_PAGE + 5);
        lab_read(l, b.rd, MANY);
}

static void what_tee_made_does_not_merge(struct lab *l)
{
        struct lab_ends a = lab_pipe(l, 4), b = lab_pipe(l, 1);

        lab_write(l, a.wr, 100);
        lab_tee(l, a.rd, b.wr, MANY);
        lab_write(l, b.wr, 10);
        lab_write(l, a.wr, 10);
        lab_read(l, b.rd, MANY);
        lab_read(l, a.rd, MANY);
}

static void tee_from_an_empty_pipe(struct lab *l)
{
        struct lab_ends a = lab_pipe(l, 4), b = lab_pipe(l, 4);

        lab_tee(l, a.rd, b.wr, MANY);
        lab_shut(l, a.wr);
        lab_tee(l, a.rd, b.wr, MANY);
}

static void unequal_branches_by_what_they_are_ahead(struct lab *l)
{
        struct lab_ends a = lab_pipe(l, 4), b = lab_pipe(l, 4), c = lab_pipe(l, 1);
        struct slot *null = lab_null(l);

        lab_write(l, a.wr, 3 * LAB_PAGE);
        lab_tee(l, a.rd, b.wr, MANY);
        lab_tee(l, a.rd, c.wr, MANY);
        lab_splice(l, a.rd, null, LAB_PAGE);
        lab_read(l, c.rd, MANY);
        lab_tee(l, a.rd, c.wr, MANY);
        lab_splice(l, a.rd, null, LAB_PAGE);
        lab_read(l, c.rd, MANY);
        lab_read(l, b.rd, MANY);
        lab_read(l, a.rd, MANY);
}

/* ---- sockets ---- */

static void an_idle_socket(struct lab *l)
{
        struct lab_ends s = lab_sockets(l);

        lab_read(l, s.rd, 10);
        lab_poll(l, s.rd);
        lab_write(l, s.wr, 10);
        lab_poll(l, s.rd);
        lab_read(l, s.rd, MANY);
}

static void half_closed_reads_its_end_and_still_sends(struct lab *l)
{
        struct lab_ends s = lab_sockets(l);

        lab_write(l, s.wr, 100);
        lab_say(l, "shutdown", l->b->ops->shutdown(l->b, s.wr->fd, SHUT_WR));
        lab_poll(l, s.rd);
        lab_poll(l, s.wr);
        lab_read(l, s.rd, 60);
        lab_read(l, s.rd, 60);
        lab_read(l, s.rd, 60);
        lab_write(l, s.rd, 30);
        lab_read(l, s.wr, 60);
        lab_write(l, s.wr, 1);
}

static void both_shut_is_hup(struct lab *l)
{
        struct lab_ends s = lab_sockets(l);

        l->b->ops->shutdown(l->b, s.wr->fd, SHUT_WR);
        l->b->ops->shutdown(l->b, s.rd->fd, SHUT_WR);
        lab_poll(l, s.rd);
        lab_poll(l, s.wr);
}

static void a_peer_that_closed_is_an_end_and_a_broken_pipe(struct lab *l)
{
        struct lab_ends s = lab_sockets(l);

        lab_write(l, s.wr, 20);
        lab_shut(l, s.wr);
        lab_poll(l, s.rd);
        lab_write(l, s.rd, 1);
        lab_read(l, s.rd, MANY);
        lab_read(l, s.rd, MANY);
}

static void a_peer_that_closed_unread_resets_once(struct lab *l)
{
        struct lab_ends s = lab_sockets(l);

        lab_write(l, s.rd, 20);
        lab_shut(l, s.wr);
        lab_read(l, s.rd, MANY);
        lab_read(l, s.rd, MANY);
        lab_write(l, s.rd, 1);
}

static void what_came_before_a_reset_is_read_first(struct lab *l)
{
        struct lab_ends s = lab_sockets(l);

        lab_write(l, s.wr, 77);
        lab_write(l, s.rd, 20);
        lab_shut(l, s.wr);
        lab_read(l, s.rd, MANY);
        lab_read(l, s.rd, MANY);
        lab_read(l, s.rd, MANY);
}

static void small_sends_fill_slots(struct lab *l)
{
        struct lab_ends s = lab_sockets(l), p = lab_pipe(l, LAB_SLOTS);

        for (int i = 0; i < 20; i++)
                lab_write(l, s.wr, 100);
        lab_splice(l, s.rd, p.wr, MANY);
        lab_splice(l, s.rd, p.wr, MANY);
        lab_poll(l, p.wr);
        lab_write(l, p.wr, 1);
        lab_read(l, p.rd, MANY);
        lab_splice(l, s.rd, p.wr, MANY);
        lab_read(l, p.rd, MANY);
}

static void an_empty_socket_and_a_full_pipe_say_the_same(struct lab *l)
{
        struct lab_ends s = lab_sockets(l), p = lab_pipe(l, 1);

        lab_splice(l, s.rd, p.wr, MANY);
        lab_write(l, p.wr, LAB_PAGE);
        lab_write(l, s.wr, 10);
        lab_splice(l, s.rd, p.wr, MANY);
}

static void a_fin_is_not_said_to_a_full_pipe(struct lab *l)
{
        struct lab_ends s = lab_sockets(l), p = lab_pipe(l, 1);

        lab_write(l, p.wr, LAB_PAGE);
        l->b->ops->shutdown(l->b, s.wr->fd, SHUT_WR);
        lab_splice(l, s.rd, p.wr, MANY);
        lab_read(l, p.rd, MANY);
        lab_splice(l, s.rd, p.wr, MANY);
}

static void a_pipe_goes_to_a_socket(struct lab *l)
{
        struct lab_ends s = lab_sockets(l), p = lab_pipe(l, LAB_SLOTS);

        lab_write(l, p.wr, 5000);
        lab_splice(l, p.rd, s.wr, 3000);
        lab_splice(l, p.rd, s.wr, MANY);
        lab_splice(l, p.rd, s.wr, MANY);
        lab_read(l, s.rd, MANY);
        lab_shut(l, p.wr);
        lab_splice(l, p.rd, s.wr, MANY);
}

static void a_dead_socket_takes_nothing_from_the_pipe(struct lab *l)
{
        struct lab_ends s = lab_sockets(l), p = lab_pipe(l, LAB_SLOTS);

        lab_shut(l, s.rd);
        lab_splice(l, p.rd, s.wr, MANY);
        lab_write(l, p.wr, 100);
        lab_splice(l, p.rd, s.wr, MANY);
        lab_read(l, p.rd, MANY);
}

static void a_socket_has_no_offset(struct lab *l)
{
        struct lab_ends s = lab_sockets(l), p = lab_pipe(l, LAB_SLOTS);

        lab_write(l, s.wr, 10);
        lab_write(l, p.wr, 10);
        lab_say(l, "refused", l->b->ops->try_splice(l->b, s.rd, 0, p.wr, -1, 10, false) < 0);
        lab_say(l, "refused", l->b->ops->try_splice(l->b, p.rd, -1, s.wr, 0, 10, false) < 0);
}

static void spliced_through_two_pipes_and_a_socket(struct lab *l)
{
        struct lab_ends s = lab_sockets(l), a = lab_pipe(l, LAB_SLOTS), b = lab_pipe(l, LAB_SLOTS);

        lab_write(l, a.wr, 3 * LAB_PAGE + 11);
        lab_splice(l, a.rd, s.wr, MANY);
        lab_splice(l, s.rd, b.wr, MANY);
        lab_read(l, b.rd, MANY);
}

static void a_reset_of_tcp(struct lab *l)
{
        struct lab_ends s = lab_tcp(l), p = lab_pipe(l, LAB_SLOTS);

        lab_write(l, s.wr, 77);
        lab_settle_bytes(l, s.rd);
        l->b->ops->reset(l->b, s.wr->fd);
        lab_shut(l, s.wr);
        lab_settle_hup(l, s.rd);
        lab_poll(l, s.rd);
        lab_read(l, s.rd, 50);
        lab_splice(l, s.rd, p.wr, MANY);
        lab_read(l, s.rd, MANY);
        lab_read(l, s.rd, MANY);
        lab_write(l, s.rd, 1);
        lab_read(l, p.rd, MANY);
}

static void a_half_closed_tcp(struct lab *l)
{
        struct lab_ends s = lab_tcp(l), p = lab_pipe(l, LAB_SLOTS);

        lab_write(l, s.wr, 77);
        l->b->ops->shutdown(l->b, s.wr->fd, SHUT_WR);
        lab_settle_bytes(l, s.rd);
        lab_read(l, s.rd, 50);
        lab_splice(l, s.rd, p.wr, MANY);
        lab_splice(l, s.rd, p.wr, MANY);
        lab_write(l, s.rd, 5);
        lab_settle_bytes(l, s.wr);
        lab_read(l, s.wr, MANY);
        lab_write(l, s.wr, 1);
        lab_shut(l, s.rd);
        lab_settle_bytes(l, s.wr);
        lab_read(l, s.wr, MANY);
}

/* An error is said once, and a write takes it too: who reads then sees an ordinary end. */
static void a_write_takes_the_error_of_a_reset(struct lab *l)
{
        struct lab_ends s = lab_tcp(l);

        lab_resets(l, s.wr, true);
        lab_shut(l, s.wr);
        lab_settle_hup(l, s.rd);
        lab_write(l, s.rd, 1);
        lab_poll(l, s.rd);
        lab_read(l, s.rd, MANY);
        lab_write(l, s.rd, 1);
}

/* What was read before, and what waits, came before the reset all the same. */
static void a_splice_takes_the_error_of_a_reset(struct lab *l)
{
        struct lab_ends s = lab_tcp(l), p = lab_pipe(l, LAB_SLOTS);

        lab_write(l, s.wr, 77);
        lab_settle_bytes(l, s.rd);
        lab_resets(l, s.wr, true);
        lab_shut(l, s.wr);
        lab_settle_hup(l, s.rd);
        lab_write(l, p.wr, 10);
        lab_splice(l, p.rd, s.rd, MANY);
        lab_read(l, s.rd, MANY);
        lab_read(l, s.rd, MANY);
        lab_splice(l, p.rd, s.rd, MANY);
}

/* The end came first, and stays an end; what is said to a write is not that it was reset. */
static void a_reset_behind_an_end(struct lab *l)
{
        struct lab_ends s = lab_tcp(l);

        lab_write(l, s.wr, 30);
        l->b->ops->shutdown(l->b, s.wr->fd, SHUT_WR);
        lab_settle_bytes(l, s.rd);
        lab_resets(l, s.wr, true);
        lab_shut(l, s.wr);
        lab_settle_hup(l, s.rd);
        lab_poll(l, s.rd);
        lab_read(l, s.rd, MANY);
        lab_read(l, s.rd, MANY);
        lab_poll(l, s.rd);
        lab_write(l, s.rd, 1);
        lab_write(l, s.rd, 1);
        lab_poll(l, s.rd);
}

static void a_reset_of_one_that_sends_no_more(struct lab *l)
{
        struct lab_ends s = lab_tcp(l);

        l->b->ops->shutdown(l->b, s.rd->fd, SHUT_WR);
        lab_settle_bytes(l, s.wr);
        lab_resets(l, s.wr, true);
        lab_shut(l, s.wr);
        lab_settle_hup(l, s.rd);
        lab_poll(l, s.rd);
        lab_write(l, s.rd, 1);
        lab_read(l, s.rd, MANY);
        lab_read(l, s.rd, MANY);
}

static void after_both_ends_there_is_nothing_to_reset(struct lab *l)
{
        struct lab_ends s = lab_tcp(l);

        l->b->ops->shutdown(l->b, s.wr->fd, SHUT_WR);
        lab_settle_bytes(l, s.rd);
        l->b->ops->shutdown(l->b, s.rd->fd, SHUT_WR);
        lab_settle_hup(l, s.wr);
        lab_resets(l, s.wr, true);
        lab_shut(l, s.wr);
        lab_settle_hup(l, s.rd);
        lab_poll(l, s.rd);
        lab_read(l, s.rd, MANY);
        lab_write(l, s.rd, 1);
}

static void a_unix_socket_does_not_reset_when_it_is_told_to(struct lab *l)
{
        struct lab_ends s = lab_sockets(l);

        lab_write(l, s.wr, 30);
        lab_resets(l, s.wr, true);
        lab_shut(l, s.wr);
        lab_read(l, s.rd, MANY);
        lab_read(l, s.rd, MANY);
        lab_write(l, s.rd, 1);
}

/* ---- listeners ---- */

static void several_wait_to_be_taken(struct lab *l)
{
        struct slot *listener = lab_listen(l, 5), *callers[3], *s;

        lab_poll(l, listener);
        for (unsigned i = 0; i < 3; i++) {
                callers[i] = lab_call(l);
                lab_write(l, callers[i], 10 * (i + 1));
        }
        lab_poll(l, listener);
        for (unsigned i = 0; i < 3; i++) {
                s = lab_take(l, listener);
                lab_settle_bytes(l, s);
                lab_read(l, s, MANY);
        }
        lab_take(l, listener);
}

/* One more than it says. */
static void a_full_listener_lets_nobody_in(struct lab *l)
{
        struct slot *listener = lab_listen(l, 1);

        for (int i = 0; i < 3; i++)
                lab_call(l);
        lab_take(l, listener);
}

static void nobody_listens(struct lab *l)
{
        struct slot *listener = lab_listen(l, 1);

        lab_shut(l, listener);
        lab_call(l);
}

static void a_listener_that_goes_resets_who_waits(struct lab *l)
{
        struct slot *listener = lab_listen(l, 5), *caller = lab_call(l);

        lab_shut(l, listener);
        lab_settle_hup(l, caller);
        lab_read(l, caller, 1);
        lab_read(l, caller, 1);
}

/* A connection has its listener's options from when it was made, not from when it is taken. */
static void options_are_those_of_the_moment_of_the_call(struct lab *l)
{
        struct slot *listener = lab_listen(l, 5), *before, *after, *s;

        before = lab_call(l);
        lab_resets(l, listener, true);
        after = lab_call(l);
        for (int i = 0; i < 2; i++) {
                s = lab_take(l, listener);
                lab_shut(l, s);
        }
        lab_settle_bytes(l, before);
        lab_settle_hup(l, after);
        lab_read(l, before, 1);
        lab_read(l, after, 1);
}

static void one_that_was_reset_while_it_waited_is_taken(struct lab *l)
{
        struct slot *listener = lab_listen(l, 5), *caller = lab_call(l), *s;

        lab_write(l, caller, 20);
        lab_resets(l, caller, true);
        lab_shut(l, caller);
        s = lab_take(l, listener);
        lab_settle_hup(l, s);
        lab_read(l, s, MANY);
        lab_read(l, s, MANY);
}

/* ---- files ---- */

static void a_file_fills_a_slot_per_page(struct lab *l)
{
        struct lab_ends f = lab_file(l, 40 * LAB_PAGE, LAB_FILE), p = lab_pipe(l, LAB_SLOTS);

        lab_splice_at(l, f.rd, 100, p.wr, -1, MANY);
        lab_splice_at(l, f.rd, 0, p.wr, -1, MANY);
        lab_read(l, p.rd, MANY);
}

static void a_file_ends(struct lab *l)
{
        struct lab_ends f = lab_file(l, 5000, LAB_FILE), p = lab_pipe(l, 4);

        lab_splice(l, f.rd, p.wr, MANY);
        lab_splice(l, f.rd, p.wr, MANY);
        lab_read(l, p.rd, MANY);
        lab_splice_at(l, f.rd, 9000, p.wr, -1, MANY);
}

static void a_file_does_not_end_into_a_full_pipe(struct lab *l)
{
        struct lab_ends f = lab_file(l, 10, LAB_FILE), p = lab_pipe(l, 1);

        lab_write(l, p.wr, LAB_PAGE);
        lab_splice_at(l, f.rd, 10, p.wr, -1, MANY);
        lab_read(l, p.rd, MANY);
        lab_splice_at(l, f.rd, 10, p.wr, -1, MANY);
}

static void what_is_written_underneath_arrives(struct lab *l)
{
        struct lab_ends f = lab_file(l, 2 * LAB_PAGE, LAB_FILE), p = lab_pipe(l, 4), q = lab_pipe(l, 4);

        lab_splice_at(l, f.rd, 0, p.wr, -1, LAB_PAGE);
        lab_tee(l, p.rd, q.wr, MANY);
        lab_write_char(l, f.wr, 'B', 1000);
        lab_read(l, p.rd, MANY);
        lab_read(l, q.rd, MANY);
}

static void what_is_cut_off_reads_as_zeros(struct lab *l)
{
        struct lab_ends f = lab_file(l, LAB_PAGE, LAB_FILE), p = lab_pipe(l, 4);

        lab_splice_at(l, f.rd, 0, p.wr, -1, LAB_PAGE);
        lab_truncate(l, f.wr, 100);
        lab_read(l, p.rd, MANY);
}

static void an_append_file_cannot_be_spliced_to(struct lab *l)
{
        struct lab_ends f = lab_file(l, 10, LAB_APPENDS), p = lab_pipe(l, 4);

        lab_write(l, p.wr, 20);
        lab_splice(l, p.rd, f.wr, MANY);
        lab_splice_at(l, p.rd, -1, f.wr, 0, MANY);
        lab_read(l, p.rd, MANY);
        lab_write(l, f.wr, 5);
        lab_read(l, f.rd, MANY);
}

static void a_direct_file_takes_whole_blocks(struct lab *l)
{
        struct lab_ends f = lab_file(l, 0, LAB_DIRECT), p = lab_pipe(l, LAB_SLOTS);

        lab_write(l, p.wr, 2 * LAB_PAGE);
        lab_splice(l, p.rd, f.wr, MANY);
        lab_write(l, p.wr, LAB_PAGE + 100);
        lab_splice(l, p.rd, f.wr, MANY); /* all of it is refused, not the odd part alone */
        lab_splice(l, p.rd, f.wr, LAB_PAGE);
        lab_splice(l, p.rd, f.wr, MANY);
        lab_direct(l, f.wr, false);
        lab_splice(l, p.rd, f.wr, MANY);
        lab_write(l, p.wr, LAB_PAGE);
        lab_direct(l, f.wr, true);
        lab_splice(l, p.rd, f.wr, MANY); /* whole, but at no block's beginning */
}

static void splice_moves_the_files_position(struct lab *l)
{
        struct lab_ends f = lab_file(l, 1000, LAB_FILE), p = lab_pipe(l, LAB_SLOTS);

        lab_splice(l, f.rd, p.wr, 300);
        lab_splice_at(l, f.rd, 0, p.wr, -1, 300);
        lab_splice(l, f.rd, p.wr, 300);
        lab_read(l, f.rd, MANY);
        lab_read(l, p.rd, MANY);
}

static void splice_into_a_file_at_a_place(struct lab *l)
{
        struct lab_ends f = lab_file(l, 100, LAB_FILE), p = lab_pipe(l, LAB_SLOTS);

        lab_write(l, p.wr, 50);
        lab_splice_at(l, p.rd, -1, f.wr, 200, MANY);
        lab_write(l, p.wr, 50);
        lab_splice(l, p.rd, f.wr, MANY);
        lab_read(l, f.rd, MANY);
        lab_splice(l, p.rd, f.wr, MANY);
        lab_shut(l, p.wr);
        lab_splice(l, p.rd, f.wr, MANY);
}

static void a_full_disk_takes_what_it_can(struct lab *l)
{
        struct lab_ends f = lab_file(l, 0, LAB_ON_SMALL_DISK), p = lab_pipe(l, 24);

        lab_write(l, p.wr, 100);
        lab_write(l, p.wr, 20 * LAB_PAGE - 1);
        for (int64_t at = 0, n = 1; n > 0; at += n) {
                n = l->b->ops->try_splice(l->b, p.rd, -1, f.wr, at, MANY, false);
                if (n < 0)
                        lab_say(l, "failed", n); /* in how many pieces it took the rest differs */
        }
        lab_read(l, p.rd, MANY);
        lab_read(l, f.rd, MANY);
}

/* ---- operations ---- */

static void a_ring_splice_of_an_empty_pipe(struct lab *l)
{
        struct lab_ends a = lab_pipe(l, 4), b = lab_pipe(l, 4);
        struct lab_op *o = lab_submit(l, OP_SPLICE, a.rd, b.wr, MANY);

        lab_settle(l);
        lab_say_op(l, "splice", o);
        lab_write(l, a.wr, 100);
        o = lab_submit(l, OP_SPLICE, a.rd, b.wr, MANY);
        lab_settle(l);
        lab_say_op(l, "splice", o);
        o = lab_submit(l, OP_TEE, b.rd, a.wr, 30);
        lab_settle(l);
        lab_say_op(l, "tee", o);
        lab_read(l, a.rd, MANY);
        lab_read(l, b.rd, MANY);
}

static void a_ring_splice_into_nothing(struct lab *l)
{
        struct lab_ends a = lab_pipe(l, 4), b = lab_pipe(l, 4);
        struct lab_op *o;

        lab_write(l, a.wr, 10);
        lab_shut(l, b.rd);
        o = lab_submit(l, OP_SPLICE, a.rd, b.wr, MANY);
        lab_settle(l);
        lab_say_op(l, "splice", o);
        o = lab_submit(l, OP_SPLICE, a.rd, a.wr, MANY);
        lab_settle(l);
        lab_say_op(l, "same", o);
}

static void a_poll_waits_and_completes_once(struct lab *l)
{
        struct lab_ends a = lab_pipe(l, 4);
        struct lab_op *o = lab_submit(l, OP_POLL, a.rd, NULL, POLLIN);

        lab_settle(l);
        lab_say_op(l, "early", o);
        lab_write(l, a.wr, 1);
        lab_settle(l);
        lab_say_op(l, "late", o);
}

static void a_poll_sees_the_reader_go(struct lab *l)
{
        struct lab_ends a = lab_pipe(l, 1);
        struct lab_op *o;

        lab_write(l, a.wr, LAB_PAGE);
        o = lab_submit(l, OP_POLL, a.wr, NULL, POLLOUT);
        lab_settle(l);
        lab_say_op(l, "early", o);
        lab_shut(l, a.rd);
        lab_settle(l);
        lab_say(l, "late", o->done && o->result & POLLERR);
}

static void a_poll_is_cancelled(struct lab *l)
{
        struct lab_ends a = lab_pipe(l, 4);
        struct lab_op *o = lab_submit(l, OP_POLL, a.rd, NULL, POLLIN);

        lab_settle(l);
        lab_cancel(l, o);
        lab_settle(l);
        lab_say_op(l, "cancelled", o);
        lab_say(l, "raw", o->raw);
}

static void a_blocking_read_waits_in_the_ring(struct lab *l)
{
        struct lab_ends a = lab_pipe(l, 4);
        struct lab_op *o;

        lab_blocks(l, a.rd, true);
        o = lab_submit(l, OP_READ, a.rd, NULL, 100);
        lab_settle(l);
        lab_say_op(l, "early", o);
        lab_write(l, a.wr, 10);
        lab_settle(l);
        lab_say_op(l, "late", o);
        o = lab_submit(l, OP_READ, a.rd, NULL, 100);
        lab_settle(l);
        lab_shut(l, a.wr);
        lab_settle(l);
        lab_say_op(l, "end", o);
}

static void a_waiting_recv_is_cancelled(struct lab *l)
{
        struct lab_ends s = lab_sockets(l);
        struct lab_op *o;

        lab_blocks(l, s.rd, true);
        o = lab_submit(l, OP_RECV, s.rd, NULL, 100);
        lab_settle(l);
        lab_cancel(l, o);
        lab_settle(l);
        lab_say_op(l, "cancelled", o);
}

/* SPLICE_F_NONBLOCK does not reach into the socket: a worker sleeps there, and what its cancel leaves is not ECANCELED. */
static void a_splice_does_not_wait_in_a_unix_socket(struct lab *l)
{
        struct lab_ends s = lab_sockets(l), p = lab_pipe(l, LAB_SLOTS);
        struct lab_op *o;

        lab_blocks(l, s.rd, true);
        o = lab_submit(l, OP_SPLICE, s.rd, p.wr, MANY);
        lab_settle(l);
        lab_say_op(l, "splice", o);
}

static void a_splice_waits_in_a_blocking_socket(struct lab *l)
{
        struct lab_ends s = lab_tcp(l), p = lab_pipe(l, LAB_SLOTS);
        struct lab_op *o;

        lab_blocks(l, s.rd, true);
        o = lab_submit(l, OP_SPLICE, s.rd, p.wr, MANY);
        lab_settle(l);
        lab_say_op(l, "waits", o);
        lab_cancel(l, o);
        lab_settle(l);
        lab_say_op(l, "cancelled", o);
        lab_say(l, "is ECANCELED", o->raw == -125);
}

static void who_waits_in_a_socket_keeps_the_lock(struct lab *l)
{
        struct lab_ends s = lab_tcp(l), p = lab_pipe(l, LAB_SLOTS);
        struct lab_op *read;

        lab_write(l, p.wr, 12);
        lab_blocks(l, s.rd, true);
        lab_blocks(l, p.wr, true); /* the flag of either end is both's */
        lab_stranger_splices(l, s.rd, p.wr);
        lab_poll(l, p.rd);
        read = lab_submit_forced(l, OP_READ, p.rd, 100);
        lab_settle(l);
        lab_say_op(l, "in the lock", read);
        lab_cancel(l, read);
        lab_settle(l);
        lab_say_op(l, "cancelled", read);
        l->b->ops->shutdown(l->b, s.wr->fd, SHUT_WR);
        lab_settle(l);
        lab_settle(l);
        lab_say(l, "free at last", read->done && (read->result == 12 || read->result == -125));
}

static void a_full_blocking_socket_keeps_the_lock_too(struct lab *l)
{
        struct lab_ends s = lab_sockets(l), p = lab_pipe(l, LAB_SLOTS);
        struct lab_op *read;

        while (l->b->ops->try_write(l->b, s.wr, "full", 4) > 0)
                continue;
        lab_blocks(l, s.wr, true);
        lab_write(l, p.wr, 12);
        lab_stranger_splices(l, p.rd, s.wr);
        read = lab_submit_forced(l, OP_READ, p.rd, 100);
        lab_settle(l);
        lab_say_op(l, "in the lock", read);
        lab_shut(l, s.rd);
        lab_settle(l);
        lab_say(l, "free at last", read->done);
        lab_shut(l, p.wr);
}

/* An operation keeps what it names: the reader sees no end before it is over. */
static void an_operation_keeps_the_pipe_open(struct lab *l)
{
        struct lab_ends a = lab_pipe(l, 1), b = lab_pipe(l, 1);
        struct lab_op *o = lab_submit(l, OP_POLL, b.wr, NULL, 0);

        (void)a;
        lab_settle(l);
        lab_shut(l, b.wr);
        lab_read(l, b.rd, 10);
        lab_cancel(l, o);
        lab_settle(l);
        lab_say_op(l, "over", o);
        lab_read(l, b.rd, 10);
}

static void a_ring_write_is_short_or_waits_but_never_lost(struct lab *l)
{
        struct lab_ends a = lab_pipe(l, 2);
        struct lab_op *o = lab_submit(l, OP_WRITE, a.wr, NULL, 1000);

        lab_settle(l);
        lab_say_op(l, "write", o);
        o = lab_submit(l, OP_READ, a.rd, NULL, 600);
        lab_settle(l);
        lab_say_op(l, "read", o);
        lab_shut(l, a.rd);
        o = lab_submit(l, OP_WRITE, a.wr, NULL, 10);
        lab_settle(l);
        lab_say_op(l, "broken", o);
}

static void ring_reads_of_a_file(struct lab *l)
{
        struct lab_ends f = lab_file(l, 1000, LAB_FILE), p = lab_pipe(l, 4);
        struct lab_op *o = lab_submit(l, OP_READ, f.rd, NULL, 600);

        lab_settle(l);
        lab_say_op(l, "read", o);
        o = lab_submit(l, OP_SPLICE, f.rd, p.wr, MANY);
        lab_settle(l);
        lab_say_op(l, "splice", o);
        o = lab_submit(l, OP_READ, f.rd, NULL, 600);
        lab_settle(l);
        lab_say_op(l, "end", o);
        lab_read(l, p.rd, MANY);
}

static void send_and_recv_of_a_dead_socket(struct lab *l)
{
        struct lab_ends s = lab_sockets(l);
        struct lab_op *o;

        lab_shut(l, s.rd);
        o = lab_submit(l, OP_SEND, s.wr, NULL, 10);
        lab_settle(l);
        lab_say_op(l, "send", o);
        o = lab_submit(l, OP_RECV, s.wr, NULL, 10);
        lab_settle(l);
        lab_say_op(l, "recv", o);
}

#define SCENARIO(name)                                                                                                             \
        {                                                                                                                          \
#name, .run = name                                                                                                 \
        }
const struct scenario scenarios[] = {
        SCENARIO(small_writes_share_a_slot),
        SCENARIO(an_odd_rest_goes_behind_the_last_write),
        SCENARIO(a_write_is_short_when_slots_run_out),
        SCENARIO(an_empty_pipe_says_eagain_then_its_end),
        SCENARIO(what_was_written_is_read_before_the_end),
        SCENARIO(a_pipe_without_reader_is_broken),
        SCENARIO(poll_of_a_pipe),
        SCENARIO(poll_of_an_empty_pipe_without_writer_is_hup_alone),
        SCENARIO(one_byte_takes_a_slot_when_spliced),
        SCENARIO(a_slot_that_moved_whole_still_merges),
        SCENARIO(a_part_of_a_slot_does_not_merge),
        SCENARIO(splice_is_short_by_slots),
        SCENARIO(splice_from_an_empty_pipe),
        SCENARIO(the_end_is_not_said_to_a_full_pipe),
        SCENARIO(splice_into_a_broken_pipe),
        SCENARIO(no_input_and_no_reader),
        SCENARIO(what_splice_refuses),
        SCENARIO(null_takes_everything),
        SCENARIO(a_pipe_shrinks_down_to_what_is_in_it),
        SCENARIO(tee_begins_at_the_head_each_time),
        SCENARIO(tee_is_short_by_slots),
        SCENARIO(what_tee_made_does_not_merge),
        SCENARIO(tee_from_an_empty_pipe),
        SCENARIO(unequal_branches_by_what_they_are_ahead),
        SCENARIO(an_idle_socket),
        SCENARIO(half_closed_reads_its_end_and_still_sends),
        SCENARIO(both_shut_is_hup),
        SCENARIO(a_peer_that_closed_is_an_end_and_a_broken_pipe),
        SCENARIO(a_peer_that_closed_unread_resets_once),
        SCENARIO(what_came_before_a_reset_is_read_first),
        SCENARIO(small_sends_fill_slots),
        SCENARIO(an_empty_socket_and_a_full_pipe_say_the_same),
        SCENARIO(a_fin_is_not_said_to_a_full_pipe),
        SCENARIO(a_pipe_goes_to_a_socket),
        SCENARIO(a_dead_socket_takes_nothing_from_the_pipe),
        SCENARIO(a_socket_has_no_offset),
        SCENARIO(spliced_through_two_pipes_and_a_socket),
        SCENARIO(a_reset_of_tcp),
        SCENARIO(a_half_closed_tcp),
        SCENARIO(a_write_takes_the_error_of_a_reset),
        SCENARIO(a_splice_takes_the_error_of_a_reset),
        SCENARIO(a_reset_behind_an_end),
        SCENARIO(a_reset_of_one_that_sends_no_more),
        SCENARIO(after_both_ends_there_is_nothing_to_reset),
        SCENARIO(a_unix_socket_does_not_reset_when_it_is_told_to),
        SCENARIO(several_wait_to_be_taken),
        SCENARIO(a_full_listener_lets_nobody_in),
        SCENARIO(nobody_listens),
        SCENARIO(a_listener_that_goes_resets_who_waits),
        SCENARIO(options_are_those_of_the_moment_of_the_call),
        SCENARIO(one_that_was_reset_while_it_waited_is_taken),
        SCENARIO(a_file_fills_a_slot_per_page),
        SCENARIO(a_file_ends),
        SCENARIO(a_file_does_not_end_into_a_full_pipe),
        SCENARIO(what_is_written_underneath_arrives),
        SCENARIO(what_is_cut_off_reads_as_zeros),
        SCENARIO(an_append_file_cannot_be_spliced_to),
        SCENARIO(splice_moves_the_files_position),
        SCENARIO(splice_into_a_file_at_a_place),
        { "a_full_disk_takes_what_it_can", a_full_disk_takes_what_it_can, .needs_small_disk = true },
        { "a_direct_file_takes_whole_blocks", a_direct_file_takes_whole_blocks, .needs_blocks = true },
        SCENARIO(a_ring_splice_of_an_empty_pipe),
        SCENARIO(a_ring_splice_into_nothing),
        SCENARIO(a_poll_waits_and_completes_once),
        SCENARIO(a_poll_sees_the_reader_go),
        SCENARIO(a_poll_is_cancelled),
        SCENARIO(a_blocking_read_waits_in_the_ring),
        SCENARIO(a_waiting_recv_is_cancelled),
        SCENARIO(a_splice_does_not_wait_in_a_unix_socket),
        SCENARIO(a_splice_waits_in_a_blocking_socket),
        SCENARIO(who_waits_in_a_socket_keeps_the_lock),
        SCENARIO(a_full_blocking_socket_keeps_the_lock_too),
        SCENARIO(an_operation_keeps_the_pipe_open),
        SCENARIO(a_ring_write_is_short_or_waits_but_never_lost),
        SCENARIO(ring_reads_of_a_file),
        SCENARIO(send_and_recv_of_a_dead_socket),
};
const unsigned scenarios_nr = sizeof(scenarios) / sizeof(scenarios[0]);
