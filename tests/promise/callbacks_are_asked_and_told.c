/* callbacks_are_asked_and_told.c: a reader's and a writer's bytes pass exactly, in any portions; one that has nothing now is
 * asked again when its fd is ready; its failure is its stage's, and a writer that has had enough is no failure. */
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/eventfd.h>

#include "parts.h"

struct host {
        uint64_t bytes, limit; /* reader: to give. writer, not 0: enough */
        size_t step;           /* bytes per call at most; 0: any */
        int64_t mismatch;      /* writer: where; -1: nowhere */
        uint64_t fail_at;
        ssize_t fail_with; /* not 0: from there on */
        ssize_t verdict;   /* writer: at the end */
        unsigned calls, ends;
        bool again; /* every other call finds nothing */
};

static size_t portion(const struct host *h, size_t bytes)
{
        return h->step && bytes > h->step ? h->step : bytes;
}

static bool in_vain(struct host *h)
{
        return h->again && h->calls++ % 2 == 0;
}

static ssize_t give(void *arg, void *data, size_t cap)
{
        struct host *h = arg;
        size_t n = portion(h, cap);

        if (in_vain(h))
                return -EAGAIN;
        if (h->fail_with && h->bytes >= h->fail_at)
                return h->fail_with;
        if (n > h->limit - h->bytes)
                n = (size_t)(h->limit - h->bytes);
        t_pattern(data, n, h->bytes);
        h->bytes += n;
        return (ssize_t)n;
}

static ssize_t take(void *arg, const void *data, size_t bytes)
{
        struct host *h = arg;
        size_t n = portion(h, bytes);

        if (bytes == 0) {
                h->ends++;
                return h->verdict;
        }
        if (in_vain(h))
                return -EAGAIN;
        if (h->fail_with && h->bytes >= h->fail_at)
                return h->fail_with;
        if (h->mismatch < 0)
                h->mismatch = t_mismatch(data, n, h->bytes);
        h->bytes += n;
        return (ssize_t)n;
}

static const uint64_t sizes[] = { 0, 1, 65536, 65537, 3 * T_MIB + 7 };
static const size_t steps[] = { 0, 1000, 4096 };

/* An eventfd that is always readable and writable, and stays so: its counter is ours. */
static int ready_fd(void)
{
        int fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);

        assert_true(fd >= 0);
        return fd;
}

static void check_fd(int fd)
{
        uint64_t counter = 0;

        assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
        assert_int_equal(read(fd, &counter, sizeof(counter)), sizeof(counter));
        assert_int_equal(counter, 1);
        close(fd);
}

/* reader | cat ... | writer */
static void pass(uint64_t bytes, size_t step, bool again, int commands)
{
        struct host from = { .limit = bytes, .step = step, .again = again };
        struct host to = { .mismatch = -1, .step = step, .again = again };
        struct sluice_pipeline *p = t_new(T_OPTIONS(.grace_ms = T_GRACE_MS));
        int ready = ready_fd();

        t_ok(sluice_add_reader(p, give, &from, ready));
        for (int i = 0; i < commands; i++)
                t_ok(sluice_add_command(p, T_ARGV("cat"), NULL));
        t_ok(sluice_add_writer(p, take, &to, ready));
        t_ok(sluice_pipeline_chain(p));
        t_run_free(p, 0);
        assert_int_equal(from.bytes, bytes);
        assert_int_equal(to.bytes, bytes);
        assert_int_equal(to.mismatch, -1);
        assert_int_equal(to.ends, 1);
        check_fd(ready);
}

static void test_every_byte(void **state)
{
        (void)state;
        for (size_t i = 0; i < T_NR(sizes); i++)
                for (size_t k = 0; k < T_NR(steps); k++)
                        for (int commands = 0; commands < 3; commands++)
                                pass(sizes[i], steps[k], k % 2, commands);
}

static void test_to_a_file_and_from_one(void **state)
{
        struct host from = { .limit = 3 * T_MIB + 7 }, to = { .mismatch = -1 };
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        t_ok(sluice_add_reader(p, give, &from, -1));
        t_ok(sluice_add_file(p, t_path("a"), NULL));
        t_ok(sluice_pipeline_chain(p));
        t_run_free(p, 0);
        t_check_file(t_path("a"), from.limit, 0);
        p = t_new(NULL);
        t_ok(sluice_add_file(p, t_path("a"), NULL));
        t_ok(sluice_add_writer(p, take, &to, -1));
        t_ok(sluice_pipeline_chain(p));
        t_run_free(p, 0);
        assert_int_equal(to.bytes, from.limit);
        assert_int_equal(to.mismatch, -1);
        assert_int_equal(to.ends, 1);
}

/* ---- woken from outside ---- */

struct late {
        int fd;
        uint64_t wakes;
        atomic_int asked;
};

static ssize_t give_late(void *arg, void *data, size_t cap)
{
        struct late *l = arg;
        uint64_t counter;

        (void)cap;
        if (l->wakes == 2)
                return 0;
        if (read(l->fd, &counter, sizeof(counter)) == sizeof(counter))
                l->wakes += counter;
        if (l->wakes < 2) {
                atomic_store(&l->asked, 1);
                return -EAGAIN;
        }
        memcpy(data, "late\n", 5);
        return 5;
}

static void *wake_it(void *arg)
{
        const struct timespec moment = { .tv_nsec = 10000000 };
        struct late *l = arg;
        uint64_t one = 1;

        for (int i = 0; i < 2; i++) {
                while (!atomic_load(&l->asked))
                        nanosleep(&moment, NULL);
                atomic_store(&l->asked, 0);
                if (write(l->fd, &one, sizeof(one)) != sizeof(one))
                        return arg;
        }
        return NULL;
}

/* The first wake finds nothing, and says so; the second brings bytes; then the end. */
static void test_woken(void **state)
{
        struct late l = { .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) };
        struct sluice_pipeline *p = t_new(NULL);
        pthread_t thread;
        void *bad;

        (void)state;
        t_ok(sluice_add_reader(p, give_late, &l, l.fd));
        t_ok(sluice_add_command(p, T_ARGV("cat"), NULL));
        t_ok(sluice_pipeline_chain(p));
        assert_int_equal(pthread_create(&thread, NULL, wake_it, &l), 0);
        t_says(p, "late\n");
        pthread_join(thread, &bad);
        assert_null(bad);
        close(l.fd);
}

/* ---- failures ---- */

static void fails(struct sluice_pipeline *p, int error, int stage)
{
        t_ok(sluice_pipeline_chain(p));
        t_run(p, error);
        assert_int_equal(t_failure(p).stage, stage);
        assert_int_equal(t_failure(p).error, error);
        assert_int_equal(t_failure(p).inferred, 0);
        t_verdict(p, stage, SLUICE_VERDICT_FAILED);
        sluice_pipeline_free(p);
}

static void test_reader_fails(void **state)
{
        struct host from = { .limit = T_MIB, .step = 1000, .fail_at = 5000, .fail_with = -EILSEQ };
        struct sluice_pipeline *p = t_new(T_OPTIONS(.grace_ms = T_GRACE_MS));

        (void)state;
        t_ok(sluice_add_reader(p, give, &from, -1));
        t_ok(sluice_add_command(p, T_ARGV("cat"), NULL));
        fails(p, -EILSEQ, 0);
}

static void test_writer_fails(void **state)
{
        struct host to = { .mismatch = -1, .step = 1000, .fail_at = 5000, .fail_with = -EDQUOT };
        struct sluice_pipeline *p = t_new(T_OPTIONS(.grace_ms = T_GRACE_MS));

        (void)state;
        t_ok(sluice_add_command(p, T_ARGV("yes"), NULL));
        t_ok(sluice_add_writer(p, take, &to, -1));
        fails(p, -EDQUOT, 1);
        assert_int_equal(to.ends, 0);
}

/* All has arrived, and is of no use to it: a verdict at the end is one. */
static void test_verdict_at_the_end(void **state)
{
        struct host to = { .mismatch = -1, .verdict = -EBADMSG };
        struct sluice_pipeline *p = t_new(T_OPTIONS(.grace_ms = T_GRACE_MS));

        (void)state;
        t_ok(sluice_add_memory(p, "bytes", 5));
        t_ok(sluice_add_writer(p, take, &to, -1));
        fails(p, -EBADMSG, 1);
        assert_int_equal(to.bytes, 5);
        assert_int_equal(to.ends, 1);
}

/* There is nothing that could wake it. */
static void test_nothing_now_without_an_fd(void **state)
{
        struct host from = { .limit = 1, .again = true }, to = { .again = true };
        struct sluice_pipeline *p = t_new(T_OPTIONS(.grace_ms = T_GRACE_MS));

        (void)state;
        t_ok(sluice_add_reader(p, give, &from, -1));
        t_ok(sluice_add_null(p));
        fails(p, -EPROTO, 0);
        p = t_new(T_OPTIONS(.grace_ms = T_GRACE_MS));
        t_ok(sluice_add_memory(p, "x", 1));
        t_ok(sluice_add_writer(p, take, &to, -1));
        fails(p, -EPROTO, 1);
}

/* ---- enough ---- */

static void test_enough(void **state)
{
        struct host to = { .step = 1000, .fail_at = 5000, .fail_with = SLUICE_WRITER_ENOUGH };
        struct sluice_pipeline *p = t_new(T_OPTIONS(.grace_ms = T_GRACE_MS));

        (void)state;
        t_ok(sluice_add_command(p, T_ARGV("yes"), NULL));
        t_ok(sluice_add_command(p, T_ARGV("cat"), NULL));
        t_ok(sluice_add_writer(p, take, &to, -1));
        t_ok(sluice_pipeline_chain(p));
        t_run(p, 0);
        assert_int_equal(to.bytes, 5000);
        assert_int_equal(sluice_pipeline_failures(p, NULL, 0), 0);
        t_verdict(p, 2, SLUICE_VERDICT_EARLY);
        for (int i = 0; i < 2; i++) {
                t_verdict(p, i, SLUICE_VERDICT_PIPE);
                assert_int_equal(t_result(p, i).excused, 1);
        }
        sluice_pipeline_free(p);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                T_TEST(test_every_byte),   T_TEST(test_to_a_file_and_from_one),
                T_TEST(test_woken),        T_TEST(test_reader_fails),
                T_TEST(test_writer_fails), T_TEST(test_verdict_at_the_end),
                T_TEST(test_enough),       T_TEST(test_nothing_now_without_an_fd),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
