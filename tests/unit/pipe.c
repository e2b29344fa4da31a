/* tests/unit/pipe.c: the budget's steps and its law (used == the sum of the pipes that exist), and the cache.
 * On a fake kernel that grants what the test says; the sizes of the real one at the end. */
#include "unit.h"

#include <fcntl.h>
#include <unistd.h>

#include "fake.h"
#include "pipe.h"

enum { K64 = 64 << 10, K256 = 256 << 10, M1 = 1 << 20 };

struct fixture {
        struct fake fake;
        struct pipe_cache cache;
        size_t budget_before;
};

static int set_up(void **state)
{
        struct fixture *f = calloc(1, sizeof(*f));

        f->budget_before = pipe_budget();
        fake_init(&f->fake, true);
        pipe_cache_init(&f->cache, &f->fake.base);
        *state = f;
        return pipe_budget_used() != 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;
        bool leak;

        pipe_cache_fini(&f->cache);
        leak = pipe_budget_used() != 0 || f->fake.closed != (unsigned)(f->fake.next_fd - 1000);
        backend_fini(&f->fake.base);
        pipe_budget_set(f->budget_before);
        free(f);
        return leak;
}

static struct pipe *get(struct fixture *f)
{
        struct pipe *p;

        assert_int_equal(pipe_get(&f->cache, &p), 0);
        return p;
}

static void the_budget_goes_in_steps(void **state)
{
        struct fixture *f = *state;
        struct pipe *p[5], *none = NULL;

        pipe_budget_set(M1 + K256 + 3 * K64);
        p[0] = get(f);
        p[1] = get(f);
        for (int i = 2; i < 5; i++)
                p[i] = get(f);
        assert_int_equal(p[0]->capacity_bytes, M1);
        assert_int_equal(p[1]->capacity_bytes, K256);
        for (int i = 2; i < 5; i++)
                assert_int_equal(p[i]->capacity_bytes, K64);
        assert_int_equal(pipe_budget_used(), pipe_budget());
        assert_int_equal(pipe_get(&f->cache, &none), -EDQUOT);
        assert_null(none);
        p[0]->bytes = 1; /* dirty, so closed: its share comes back */
        pipe_put(&f->cache, p[0]);
        assert_int_equal(pipe_budget_used(), K256 + 3 * K64);
        p[0] = get(f);
        assert_int_equal(p[0]->capacity_bytes, M1);
        for (int i = 0; i < 5; i++)
                pipe_put(&f->cache, p[i]);
}

static void a_budget_below_the_smallest_gives_none(void **state)
{
        struct fixture *f = *state;
        struct pipe *p;

        pipe_budget_set(K64 - 1);
        assert_int_equal(pipe_get(&f->cache, &p), -EDQUOT);
        assert_int_equal(f->fake.asked, 0);
        assert_int_equal(pipe_budget_used(), 0);
}

static void what_the_kernel_does_not_grant_is_given_back(void **state)
{
        struct fixture *f = *state;
        struct pipe *p;

        pipe_budget_set(M1);
        f->fake.grant = 8192;
        p = get(f);
        assert_int_equal(f->fake.asked, M1);
        assert_int_equal(p->capacity_bytes, 8192);
        assert_int_equal(p->capacity_slots, 8192 / getpagesize());
        assert_int_equal(pipe_budget_used(), 8192);
        pipe_put(&f->cache, p);
}

static void more_than_asked_for_is_counted(void **state)
{
        struct fixture *f = *state;
        struct pipe *p;

        pipe_budget_set(K64);
        f->fake.grant = K256;
        p = get(f);
        assert_int_equal(pipe_budget_used(), K256);
        pipe_put(&f->cache, p);
}

static void a_pipe_that_cannot_be_made_costs_nothing(void **state)
{
        struct fixture *f = *state;
        struct slot *rd, *wr;
        struct pipe *p;
        size_t bytes;

        pipe_budget_set(M1);
        f->fake.pipe_error = -EMFILE;
        assert_int_equal(pipe_get(&f->cache, &p), -EMFILE);
        assert_int_equal(pipe_for_process(&f->fake.base, &rd, &wr, &bytes), -EMFILE);
        assert_int_equal(pipe_budget_used(), 0);
}

static void an_empty_pipe_is_used_again(void **state)
{
        struct fixture *f = *state;
        struct pipe *p = get(f);

        pipe_put(&f->cache, p);
        assert_int_equal(f->cache.idle_nr, 1);
        assert_ptr_equal(get(f), p);
        assert_int_equal(f->cache.idle_nr, 0);
        assert_int_equal(f->fake.closed, 0);
        assert_int_equal(f->fake.nonblocking, 2);
        pipe_put(&f->cache, p);
}

static void a_dirty_pipe_is_closed(void **state)
{
        struct fixture *f = *state;
        struct pipe *p = get(f);

        p->bytes = 1;
        pipe_put(&f->cache, p);
        assert_int_equal(f->cache.idle_nr, 0);
        assert_int_equal(f->fake.closed, 2);
        assert_int_equal(pipe_budget_used(), 0);
}

static void a_pipe_that_an_operation_names_is_not_lent_again(void **state)
{
        struct fixture *f = *state;
        struct pipe *p = get(f);
        struct slot *held = slot_ref(p->read);

        pipe_put(&f->cache, p);
        assert_int_equal(f->cache.idle_nr, 0);
        assert_int_equal(f->fake.closed, 1);
        slot_unref(held);
}

static void the_cache_is_bounded(void **state)
{
        enum { MANY = PIPE_CACHE_MAX + 5 };
        struct fixture *f = *state;
        struct pipe *p[MANY];
        size_t each;

        pipe_budget_set(SIZE_MAX);
        for (int i = 0; i < MANY; i++)
                p[i] = get(f);
        each = p[0]->capacity_bytes;
        assert_int_equal(pipe_budget_used(), MANY * each);
        for (int i = 0; i < MANY; i++)
                pipe_put(&f->cache, p[i]);
        assert_int_equal(f->cache.idle_nr, PIPE_CACHE_MAX);
        assert_int_equal(f->fake.closed, 2 * 5);
        assert_int_equal(pipe_budget_used(), PIPE_CACHE_MAX * each);
        pipe_cache_fini(&f->cache);
        assert_int_equal(pipe_budget_used(), 0);
}

static void processes_are_joined_budget_or_not(void **state)
{
        struct fixture *f = *state;
        struct slot *rd, *wr;
        size_t bytes = 0;

        pipe_budget_set(1);
        assert_int_equal(pipe_for_process(&f->fake.base, &rd, &wr, &bytes), 0);
        assert_int_equal(bytes, K64);
        assert_int_equal(f->fake.nonblocking, 0);
        assert_int_equal(pipe_budget_used(), K64); /* over it, but counted */
        assert_int_equal(pipe_get(&f->cache, &(struct pipe *){ NULL }), -EDQUOT);
        slot_unref(rd);
        slot_unref(wr);
        pipe_release_budget(bytes);
}

/* Ten thousand steps of a fixed sequence: at each, used == sum of what exists. */
static void used_is_always_the_sum(void **state)
{
        enum { MOST = 40 };
        static const size_t grants[] = { 0, 4096, 8192, K64, K256, M1, 2 * M1 };
        struct fixture *f = *state;
        struct pipe *held[MOST];
        unsigned n = 0, seed = 1;

        pipe_budget_set(10 * M1);
        for (int step = 0; step < 10000; step++) {
                size_t sum = 0;

                seed = seed * 1103515245u + 12345u;
                f->fake.grant = grants[seed >> 16 & 0xff % COUNT(grants)] * (seed >> 20 & 1);
                if (seed >> 24 & 1 && n < MOST) {
                        n += pipe_get(&f->cache, &held[n]) == 0;
                } else if (n) {
                        held[n - 1]->bytes = seed >> 25 & 1;
                        pipe_put(&f->cache, held[--n]);
                }
                for (unsigned i = 0; i < n; i++)
                        sum += held[i]->capacity_bytes;
                for (struct list *l = f->cache.idle.next; l != &f->cache.idle; l = l->next)
                        sum += container_of(l, struct pipe, node)->capacity_bytes;
                assert_int_equal(pipe_budget_used(), sum);
        }
        while (n)
                pipe_put(&f->cache, held[--n]);
}

static void a_real_pipe_is_as_large_as_it_says(void **state)
{
        struct pipe_cache cache;
        struct backend *b;
        struct pipe *p;

        (void)state;
        assert_int_equal(backend_new(&b, true, BACKEND_AUTO), 0);
        pipe_cache_init(&cache, b);
        assert_int_equal(pipe_get(&cache, &p), 0);
        assert_int_equal(fcntl(p->write->fd, F_GETPIPE_SZ), p->capacity_bytes);
        assert_int_equal(p->capacity_slots, p->capacity_bytes / (size_t)getpagesize());
        assert_true(fcntl(p->read->fd, F_GETFL) & O_NONBLOCK && fcntl(p->write->fd, F_GETFL) & O_NONBLOCK);
        assert_true(fcntl(p->read->fd, F_GETFD) & FD_CLOEXEC && fcntl(p->write->fd, F_GETFD) & FD_CLOEXEC);
        pipe_put(&cache, p);
        pipe_cache_fini(&cache);
        backend_free(b);
}

#define ON_A_FAKE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                ON_A_FAKE(the_budget_goes_in_steps),
                ON_A_FAKE(a_budget_below_the_smallest_gives_none),
                ON_A_FAKE(what_the_kernel_does_not_grant_is_given_back),
                ON_A_FAKE(more_than_asked_for_is_counted),
                ON_A_FAKE(a_pipe_that_cannot_be_made_costs_nothing),
                ON_A_FAKE(an_empty_pipe_is_used_again),
                ON_A_FAKE(a_dirty_pipe_is_closed),
                ON_A_FAKE(a_pipe_that_an_operation_names_is_not_lent_again),
                ON_A_FAKE(the_cache_is_bounded),
                ON_A_FAKE(processes_are_joined_budget_or_not),
                ON_A_FAKE(used_is_always_the_sum),
                cmocka_unit_test(a_real_pipe_is_as_large_as_it_says),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
