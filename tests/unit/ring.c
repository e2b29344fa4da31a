/* tests/unit/ring.c: what one thread puts in the other takes out, in order and by reference; nobody is woken without need,
 * nobody sleeps while there is something to do, and every reference comes back, however the two sides part. */
#include "unit.h"

#include <pthread.h>

#include "lent.h"
#include "ring.h"

enum { SMALL = 64, ROUNDS = 2000, PIECES = 20000 };

static struct sluice_pool *pool;

static int begin(void **state)
{
        (void)state;
        return sluice_pool_new(&pool, NULL);
}

static int end(void **state)
{
        (void)state;
        assert_int_equal(lent(pool), 0);
        sluice_pool_unref(pool);
        return 0;
}

static struct ring *new_ring(uint32_t entries, uint64_t bytes)
{
        struct ring *r = NULL;

        assert_int_equal(ring_new(&r, entries, bytes), 0);
        return r;
}

static void put_fresh(struct ring *r, uint32_t bytes)
{
        struct buffer *b = buffer_get(pool);

        assert_non_null(b);
        ring_put(r, b, 0, bytes);
        buffer_unref(b);
}

/* ---- one thread ---- */

static void the_buffer_itself_arrives(void **state)
{
        struct ring *r = new_ring(4, 1000);
        struct buffer *b = buffer_get(pool);
        struct ring_lease l;

        (void)state;
        assert_int_equal(ring_acquire(r, &l), RING_NOTHING);
        ring_put(r, b, 10, 20);
        assert_int_equal(b->pin.refs, 2);
        assert_int_equal(ring_acquire(r, &l), RING_PIECE);
        assert_ptr_equal(l.buffer, b);
        assert_int_equal(l.at, 10);
        assert_int_equal(l.bytes, 20);
        ring_release(r, 5);
        ring_check(r);
        assert_int_equal(ring_acquire(r, &l), RING_PIECE);
        assert_int_equal(l.at, 15);
        assert_int_equal(l.bytes, 15);
        ring_release(r, 15);
        assert_int_equal(ring_acquire(r, &l), RING_NOTHING);
        ring_end(r);
        assert_int_equal(ring_acquire(r, &l), RING_END);
        assert_int_equal(b->pin.refs, 1);
        assert_int_equal(ring_put_bytes(r), 20);
        assert_int_equal(ring_released_bytes(r), 20);
        buffer_unref(b);
        ring_free(r);
}

static void what_follows_in_a_buffer_makes_the_piece_longer(void **state)
{
        struct ring *r = new_ring(2, 1000);
        struct buffer *b = buffer_get(pool);
        struct ring_lease l;

        (void)state;
        for (uint32_t at = 0; at < 100; at += 10)
                ring_put(r, b, at, 10); /* ten times in a ring of two */
        assert_int_equal(b->pin.refs, 2);
        assert_int_equal(ring_acquire(r, &l), RING_PIECE);
        assert_int_equal(l.bytes, 100);
        ring_release(r, 100);
        assert_int_equal(ring_acquire(r, &l), RING_NOTHING);
        ring_put(r, b, 100, 1); /* behind what was read to its end */
        assert_int_equal(ring_acquire(r, &l), RING_PIECE);
        assert_int_equal(l.at, 100);
        ring_put(r, b, 102, 1); /* one byte is left out: another piece */
        ring_release(r, 1);
        assert_int_equal(ring_acquire(r, &l), RING_PIECE);
        assert_int_equal(l.at, 102);
        assert_int_equal(l.bytes, 1);
        ring_check(r);
        ring_free(r);
        buffer_unref(b);
}

static void it_is_bounded_in_pieces_and_in_bytes(void **state)
{
        struct ring *r = new_ring(4, 100);
        struct ring_lease l;

        (void)state;
        for (int i = 0; i < 4; i++) {
                assert_true(ring_has_room(r));
                put_fresh(r, 1);
        }
        assert_false(ring_has_room(r));
        assert_int_equal(ring_acquire(r, &l), RING_PIECE);
        ring_release(r, 1);
        assert_true(ring_has_room(r));
        put_fresh(r, 99); /* 102 now */
        ring_check(r);
        assert_false(ring_has_room(r));
        ring_free(r);

        r = new_ring(4, 100);
        put_fresh(r, 100);
        assert_false(ring_has_room(r));
        ring_free(r);
}

static void a_flush_keeps_its_place_until_it_has_passed(void **state)
{
        struct ring *r = new_ring(4, 100);
        struct ring_lease l;

        (void)state;
        put_fresh(r, 3);
        ring_flush(r);
        put_fresh(r, 4);
        assert_int_equal(ring_acquire(r, &l), RING_PIECE);
        assert_int_equal(l.bytes, 3);
        ring_release(r, 3);
        assert_int_equal(ring_acquire(r, &l), RING_FLUSH);
        assert_int_equal(ring_acquire(r, &l), RING_FLUSH);
        ring_pass_flush(r);
        assert_int_equal(ring_acquire(r, &l), RING_PIECE);
        assert_int_equal(l.bytes, 4);
        ring_flush(r); /* behind what is being read */
        ring_flush(r); /* nothing was put since */
        ring_release(r, 4);
        assert_int_equal(ring_acquire(r, &l), RING_FLUSH);
        ring_pass_flush(r);
        ring_end(r);
        assert_int_equal(ring_acquire(r, &l), RING_END);
        assert_int_equal(ring_acquire(r, &l), RING_END);
        ring_free(r);
}

static void what_is_left_goes_back(void **state)
{
        struct ring *r = new_ring(4, 100);
        struct ring_lease l;

        (void)state;
        put_fresh(r, 3);
        ring_flush(r);
        put_fresh(r, 4);
        assert_int_equal(ring_acquire(r, &l), RING_PIECE);
        ring_release(r, 1);
        ring_close(r);
        assert_int_equal(lent(pool), 0);
        assert_true(ring_is_closed(r));
        assert_int_equal(ring_acquire(r, &l), RING_END);
        assert_int_equal(ring_put_bytes(r), 7);
        assert_int_equal(ring_released_bytes(r), 1);
        put_fresh(r, 9); /* its writer had not heard of it yet */
        assert_int_equal(lent(pool), 1);
        ring_check(r);
        ring_free(r);
        assert_int_equal(lent(pool), 0);
        ring_free(NULL);
}

/* ---- wake-ups ---- */

static void count(void *arg)
{
        ++*(int *)arg;
}

static void nobody_awake_is_woken_and_a_sleeper_once(void **state)
{
        struct ring *r = new_ring(16, 1 << 20);
        int reader = 0, writer = 0;
        struct ring_lease l;

        (void)state;
        r->reader.wake = r->writer.wake = count;
        r->reader.arg = &reader;
        r->writer.arg = &writer;
        for (int i = 0; i < 5; i++)
                put_fresh(r, 1);
        assert_int_equal(reader, 0);
        assert_false(ring_ask_for_bytes(r)); /* it has not looked since */
        while (ring_acquire(r, &l) == RING_PIECE)
                ring_release(r, l.bytes);
        assert_true(ring_ask_for_bytes(r));
        for (int i = 0; i < 5; i++)
                put_fresh(r, 1);
        assert_int_equal(reader, 1);
        while (ring_has_room(r))
                put_fresh(r, 1);
        assert_true(ring_ask_for_room(r));
        assert_int_equal(reader, 1);
        assert_int_equal(writer, 0);
        for (int i = 0; ring_acquire(r, &l) == RING_PIECE; i++) {
                ring_release(r, l.bytes);
                assert_int_equal(writer, i >= 6); /* half of it is free; one of the 16 was the sealed one from before */
        }
        assert_int_equal(writer, 1);
        assert_true(ring_ask_for_bytes(r));
        ring_end(r);
        ring_end(r);
        assert_int_equal(reader, 2);
        ring_free(r);
}

static void a_close_wakes_the_writer(void **state)
{
        struct ring *r = new_ring(1, 10);
        int woken = 0;

        (void)state;
        r->writer.wake = count;
        r->writer.arg = &woken;
        put_fresh(r, 10);
        assert_false(ring_has_room(r));
        assert_true(ring_ask_for_room(r));
        ring_close(r);
        ring_close(r);
        assert_int_equal(woken, 1);
        ring_free(r);
}

/* ---- two threads ---- */

struct pair {
        struct ring *ring;
        atomic_int stop;
        uint64_t bytes, got, enough; /* the reader closes after `enough` */
        uint32_t piece;
        int mismatches;
        bool flushes;
        unsigned flushes_got;
};

static uint8_t byte_at(uint64_t offset)
{
        return (uint8_t)(offset * 7 + (offset >> 8));
}

/* Pieces of all sizes, most of them behind one another in one buffer. */
static void *writes(void *arg)
{
        struct pair *p = arg;
        struct buffer *b = NULL;
        uint32_t filled = 0, piece = 1;

        for (uint64_t at = 0; at < p->bytes;) {
                uint32_t n = piece;

                piece = piece * 5 % p->piece + 1;
                while (!ring_has_room(p->ring) && !ring_is_closed(p->ring) && !atomic_load(&p->stop))
                        ring_sleep_for_room(p->ring, &p->stop);
                if (ring_is_closed(p->ring) || atomic_load(&p->stop))
                        break;
                if (!b || filled + n > SMALL * p->piece) {
                        buffer_unref(b);
                        b = buffer_get(pool);
                        filled = 0;
                }
                n = n < p->bytes - at ? n : (uint32_t)(p->bytes - at);
                for (uint32_t i = 0; i < n; i++)
                        b->data[filled + i] = byte_at(at + i);
                ring_put(p->ring, b, filled, n);
                filled += n;
                at += n;
                if (p->flushes && at % 3 == 0 && ring_has_room(p->ring))
                        ring_flush(p->ring);
        }
        buffer_unref(b);
        ring_end(p->ring);
        return NULL;
}

static void *reads(void *arg)
{
        struct pair *p = arg;
        struct ring_lease l;

        while (p->got < p->enough && !atomic_load(&p->stop)) {
                enum ring_item item = ring_acquire(p->ring, &l);
                uint32_t n = p->got % 3 ? l.bytes : (l.bytes + 1) / 2; /* not always all of it */

                if (item == RING_END)
                        break;
                if (item == RING_FLUSH) {
                        p->flushes_got++;
                        ring_pass_flush(p->ring);
                }
                if (item == RING_NOTHING)
                        ring_sleep_for_bytes(p->ring, &p->stop);
                if (item != RING_PIECE)
                        continue;
                for (uint32_t i = 0; i < n; i++)
                        p->mismatches += l.buffer->data[l.at + i] != byte_at(p->got + i);
                ring_release(p->ring, n);
                p->got += n;
        }
        ring_close(p->ring);
        return NULL;
}

static void run(struct pair *p)
{
        pthread_t writer, reader;

        assert_int_equal(pthread_create(&reader, NULL, reads, p), 0);
        assert_int_equal(pthread_create(&writer, NULL, writes, p), 0);
        pthread_join(writer, NULL);
        pthread_join(reader, NULL);
        ring_check(p->ring);
        ring_free(p->ring);
        assert_int_equal(p->mismatches, 0);
}

/* A wake-up that is lost leaves both asleep for ever: the test's own time limit turns that red. */
static void none_sleeps_for_ever(void **state)
{
        static const struct {
                uint32_t entries, limit, piece;
        } shapes[] = { { 1, 1, 1 }, { 1, 1 << 20, 3 }, { 2, 1, 7 }, { 2, 64, 50 }, { 16, 1000, 97 }, { 16, 1 << 20, 1000 } };

        (void)state;
        for (size_t i = 0; i < COUNT(shapes); i++)
                for (int flushes = 0; flushes < 2; flushes++) {
                        struct pair p = { .ring = new_ring(shapes[i].entries, shapes[i].limit),
                                          .bytes = (uint64_t)PIECES * shapes[i].piece,
                                          .piece = shapes[i].piece,
                                          .enough = UINT64_MAX,
                                          .flushes = flushes };

                        run(&p);
                        assert_int_equal(p.got, p.bytes);
                        assert_int_equal(lent(pool), 0);
                }
}

/* The reader goes while the writer puts; the writer ends while the reader goes. */
static void they_may_part_at_any_moment(void **state)
{
        (void)state;
        for (uint64_t i = 0; i < ROUNDS; i++) {
                struct pair p = {
                        .ring = new_ring(i % 2 ? 1 : 4, i % 3 ? 20 : 1 << 20), .bytes = i % 97 + 1, .piece = 5, .enough = i % 53
                };

                run(&p);
                assert_true(p.got >= p.enough || p.got == p.bytes);
                assert_int_equal(lent(pool), 0);
        }
}

/* Whoever sleeps, on either side, hears of it. */
static void a_stop_wakes_both(void **state)
{
        (void)state;
        for (int i = 0; i < ROUNDS; i++) {
                struct pair p = { .ring = new_ring(1, 1), .bytes = 10, .piece = 1, .enough = UINT64_MAX };
                pthread_t t;

                if (i % 2) /* a writer without a reader, or the other way about */
                        assert_int_equal(pthread_create(&t, NULL, writes, &p), 0);
                else
                        assert_int_equal(pthread_create(&t, NULL, reads, &p), 0);
                if (i % 4 < 2)
                        sched_yield();
                atomic_store(&p.stop, 1);
                ring_wake(i % 2 ? &p.ring->writer : &p.ring->reader);
                pthread_join(t, NULL);
                ring_free(p.ring);
                assert_int_equal(lent(pool), 0);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(the_buffer_itself_arrives, begin, end),
                cmocka_unit_test_setup_teardown(what_follows_in_a_buffer_makes_the_piece_longer, begin, end),
                cmocka_unit_test_setup_teardown(it_is_bounded_in_pieces_and_in_bytes, begin, end),
                cmocka_unit_test_setup_teardown(a_flush_keeps_its_place_until_it_has_passed, begin, end),
                cmocka_unit_test_setup_teardown(what_is_left_goes_back, begin, end),
                cmocka_unit_test_setup_teardown(nobody_awake_is_woken_and_a_sleeper_once, begin, end),
                cmocka_unit_test_setup_teardown(a_close_wakes_the_writer, begin, end),
                cmocka_unit_test_setup_teardown(none_sleeps_for_ever, begin, end),
                cmocka_unit_test_setup_teardown(they_may_part_at_any_moment, begin, end),
                cmocka_unit_test_setup_teardown(a_stop_wakes_both, begin, end),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
