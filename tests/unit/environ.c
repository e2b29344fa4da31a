/* tests/unit/environ.c: an environment while it is made: names stay unique, later wins, what cannot be is refused. */
#include "unit.h"

#include <errno.h>

#include "environ.h"

enum { MANY = 500, ROUNDS = 2000 };

static size_t length(const struct sluice_environ *e)
{
        size_t n = 0;

        while (e->v[n])
                n++;
        return n;
}

static bool holds(const struct sluice_environ *e, const char *entry)
{
        for (size_t i = 0; i < e->nr; i++)
                if (strcmp(e->v[i], entry) == 0)
                        return true;
        return false;
}

/* Exactly these, in any order. */
static void check(const struct sluice_environ *e, const char *const *entries)
{
        size_t nr = 0;

        for (; entries[nr]; nr++)
                if (!holds(e, entries[nr]))
                        fail_msg("no '%s'", entries[nr]);
        assert_int_equal(e->nr, nr);
        assert_int_equal(length(e), nr);
}

#define CHECK(e, ...) check((e), (const char *const[]){ __VA_ARGS__, NULL })
#define BASE(...)     ((char *const[]){ __VA_ARGS__, NULL })

static void says(const struct sluice_environ *e, const char *name, const char *value)
{
        const char *is = sluice_environ_get(e, name);

        if (!value)
                assert_null(is);
        else if (!is)
                fail_msg("%s is not set", name);
        else
                assert_string_equal(is, value);
}

/* ---- the beginning ---- */

static void nothing_begins_empty(void **state)
{
        char *const *const empty[] = { NULL, (char *const[]){ NULL } };
        struct sluice_environ e;

        (void)state;
        for (size_t i = 0; i < COUNT(empty); i++) {
                assert_int_equal(environ_init(&e, empty[i]), 0);
                assert_int_equal(e.nr, 0);
                assert_null(e.v[0]);
                says(&e, "A", NULL);
                assert_int_equal(sluice_environ_set(&e, "A", "1"), 0);
                CHECK(&e, "A=1");
                environ_fini(&e);
        }
}

static void of_two_with_one_name_the_last_counts(void **state)
{
        struct sluice_environ e;

        (void)state;
        assert_int_equal(environ_init(&e, BASE("A=1", "B=2", "A=3", "AA=4", "B=5", "A=6")), 0);
        CHECK(&e, "A=6", "B=5", "AA=4");
        environ_fini(&e);
}

static void what_has_no_name_passes_through(void **state)
{
        struct sluice_environ e;

        (void)state;
        assert_int_equal(environ_init(&e, BASE("plain", "A=1", "plain", "", "A")), 0);
        CHECK(&e, "plain", "plain", "A=1", "", "A");
        says(&e, "plain", NULL);
        says(&e, "A", "1");
        assert_int_equal(sluice_environ_set(&e, "plain", NULL), 0); /* it is no variable of that name */
        assert_int_equal(e.nr, 5);
        environ_fini(&e);
}

static void the_base_is_copied(void **state)
{
        char entry[] = "A=1";
        struct sluice_environ e;

        (void)state;
        assert_int_equal(environ_init(&e, BASE(entry)), 0);
        entry[2] = '2';
        says(&e, "A", "1");
        environ_fini(&e);
}

static void many_keep_their_order(void **state)
{
        char text[MANY][16], *base[MANY + 1] = { NULL };
        struct sluice_environ e;

        (void)state;
        for (int i = 0; i < MANY; i++) {
                snprintf(text[i], sizeof(text[i]), "N%d=%d", i, i);
                base[i] = text[i];
        }
        assert_int_equal(environ_init(&e, base), 0);
        assert_int_equal(e.nr, MANY);
        for (int i = 0; i < MANY; i++)
                assert_string_equal(e.v[i], text[i]);
        assert_null(e.v[MANY]);
        environ_fini(&e);
        assert_int_equal(e.nr, 0);
        environ_fini(&e); /* once more harms nobody */
}

/* ---- set, unset, get ---- */

static void set_replaces_and_unset_removes(void **state)
{
        struct sluice_environ e;

        (void)state;
        assert_int_equal(environ_init(&e, BASE("A=1", "AB=2", "B=3")), 0);
        assert_int_equal(sluice_environ_set(&e, "A", "new"), 0);
        assert_int_equal(sluice_environ_set(&e, "C", ""), 0);
        assert_int_equal(sluice_environ_set(&e, "B", NULL), 0);
        assert_int_equal(sluice_environ_set(&e, "never", NULL), 0);
        CHECK(&e, "A=new", "AB=2", "C=");
        says(&e, "A", "new");
        says(&e, "B", NULL);
        says(&e, "C", "");
        environ_fini(&e);
}

/* A name that begins another is that other in no call. */
static void a_name_is_the_whole_of_it(void **state)
{
        struct sluice_environ e;

        (void)state;
        assert_int_equal(environ_init(&e, BASE("PATHS=1", "PATH=2", "PAT=3")), 0);
        says(&e, "PATH", "2");
        says(&e, "PA", NULL);
        says(&e, "", NULL);
        assert_int_equal(sluice_environ_set(&e, "PATH", NULL), 0);
        CHECK(&e, "PATHS=1", "PAT=3");
        environ_fini(&e);
}

static void its_own_value_can_be_made_from_it(void **state)
{
        struct sluice_environ e;

        (void)state;
        assert_int_equal(environ_init(&e, BASE("A=value")), 0);
        assert_int_equal(sluice_environ_set(&e, "A", sluice_environ_get(&e, "A") + 2), 0);
        CHECK(&e, "A=lue");
        environ_fini(&e);
}

static void a_bad_name_is_refused_and_changes_nothing(void **state)
{
        static const char *const bad[] = { NULL, "", "=", "A=", "=A", "A=B", "==" };
        struct sluice_environ e;

        (void)state;
        assert_int_equal(environ_init(&e, BASE("A=1")), 0);
        for (size_t i = 0; i < COUNT(bad); i++) {
                assert_int_equal(sluice_environ_set(&e, bad[i], "2"), -EINVAL);
                assert_int_equal(sluice_environ_set(&e, bad[i], NULL), -EINVAL);
        }
        CHECK(&e, "A=1");
        environ_fini(&e);
}

/* ---- against a second statement ---- */

enum { NAMES = 7, VALUE_BYTES = 12 };

struct model {
        bool set;
        char value[VALUE_BYTES];
};

/* Values are what is hard to tell from a name: mostly equal signs. */
static void random_value(char *ret)
{
        static const char alphabet[] = "===AB ";
        size_t bytes = (size_t)rand() % VALUE_BYTES;

        for (size_t i = 0; i < bytes; i++)
                ret[i] = alphabet[(size_t)rand() % (sizeof(alphabet) - 1)];
        ret[bytes] = '\0';
}

static void equal_signs_in_values_are_theirs(void **state)
{
        static const char *const names[NAMES] = { "A", "AA", "AB", "B", "A B", "BA", "a" };
        struct model model[NAMES] = { 0 };
        struct sluice_environ e;

        (void)state;
        srand(1);
        assert_int_equal(environ_init(&e, NULL), 0);
        for (int round = 0; round < ROUNDS; round++) {
                size_t i = (size_t)rand() % NAMES, set = 0;

                model[i].set = rand() % 4 != 0;
                random_value(model[i].value);
                assert_int_equal(sluice_environ_set(&e, names[i], model[i].set ? model[i].value : NULL), 0);
                for (size_t k = 0; k < NAMES; k++) {
                        says(&e, names[k], model[k].set ? model[k].value : NULL);
                        set += model[k].set;
                }
                assert_int_equal(e.nr, set);
                assert_int_equal(length(&e), set);
        }
        environ_fini(&e);
}

static void equal_signs_of_the_base_are_too(void **state)
{
        struct sluice_environ e;

        (void)state;
        assert_int_equal(environ_init(&e, BASE("A==", "B=A=1", "C====x", "A=B=C")), 0);
        says(&e, "A", "B=C");
        says(&e, "B", "A=1");
        says(&e, "C", "===x");
        assert_int_equal(e.nr, 3);
        environ_fini(&e);
}

/* ---- changes ---- */

static int append(void *arg, struct sluice_environ *e)
{
        const char *old = sluice_environ_get(e, "A");
        char value[64];

        snprintf(value, sizeof(value), "%s%s", old ? old : "-", (const char *)arg);
        return sluice_environ_set(e, "A", value);
}

static int refuse(void *arg, struct sluice_environ *e)
{
        (void)e;
        return *(const int *)arg;
}

static void changes_are_made_in_order(void **state)
{
        const struct sluice_env changes[] = {
                { .fn = append, .arg = (void *)"1" },
                { .name = "A", .value = "x" },
                { .fn = append, .arg = (void *)"2" },
                { .name = "B", .value = "first" },
                { .name = "B" },
                { .fn = append, .arg = (void *)"3" },
                { .name = "C", .value = "c", .fn = append, .arg = (void *)"not called: it has a name" },
                { .name = "C", .value = "later" },
        };
        static const char *const after[] = { NULL, "-1", "x", "x2", "x2", "x2", "x23", "x23", "x23" };
        struct sluice_environ e;

        (void)state;
        for (size_t nr = 0; nr <= COUNT(changes); nr++) {
                assert_int_equal(environ_init(&e, NULL), 0);
                assert_int_equal(environ_apply(&e, changes, nr), 0);
                says(&e, "A", after[nr]);
                says(&e, "B", nr == 4 ? "first" : NULL);
                says(&e, "C", nr == 7 ? "c" : nr == 8 ? "later" : NULL);
                environ_fini(&e);
        }
}

static void the_first_error_ends_the_changes(void **state)
{
        static int errors[] = { -EACCES, -EINVAL, -ENOMEM, 0, 7 };
        struct sluice_environ e;

        (void)state;
        for (size_t i = 0; i < COUNT(errors); i++) {
                const struct sluice_env changes[] = {
                        { .name = "A", .value = "1" },
                        { .fn = refuse, .arg = &errors[i] },
                        { .name = "A", .value = "2" },
                };

                assert_int_equal(environ_init(&e, NULL), 0);
                assert_int_equal(environ_apply(&e, changes, COUNT(changes)), errors[i] < 0 ? errors[i] : 0);
                says(&e, "A", errors[i] < 0 ? "1" : "2");
                environ_fini(&e);
        }
}

static void a_change_with_a_bad_name_is_an_error(void **state)
{
        const struct sluice_env changes[] = { { .name = "A=", .value = "1" }, { .name = "B", .value = "2" } };
        struct sluice_environ e;

        (void)state;
        assert_int_equal(environ_init(&e, NULL), 0);
        assert_int_equal(environ_apply(&e, changes, COUNT(changes)), -EINVAL);
        assert_int_equal(e.nr, 0);
        environ_fini(&e);
}

/* ---- copies, checks ---- */

static void copies_are_their_own(void **state)
{
        char name[] = "NAME", value[] = "value";
        int arg;
        const struct sluice_env changes[] = {
                { .name = name, .value = value },
                { .name = name },
                { .fn = refuse, .arg = &arg },
        };
        struct sluice_env *copy = NULL;

        (void)state;
        assert_int_equal(env_copy(&copy, changes, COUNT(changes)), 0);
        memset(name, 'x', sizeof(name) - 1);
        memset(value, 'x', sizeof(value) - 1);
        assert_string_equal(copy[0].name, "NAME");
        assert_string_equal(copy[0].value, "value");
        assert_null(copy[1].value);
        assert_null(copy[2].name);
        assert_true(copy[2].fn == refuse);
        assert_ptr_equal(copy[2].arg, &arg);
        env_free(copy, COUNT(changes));
}

static void a_copy_of_nothing_is_nothing(void **state)
{
        struct sluice_env *copy = (struct sluice_env *)&copy;

        (void)state;
        assert_int_equal(env_copy(&copy, NULL, 0), 0);
        assert_null(copy);
        env_free(copy, 0);
        env_free(NULL, 3);
}

static void what_can_never_be_made_is_found_before(void **state)
{
        static const struct {
                struct sluice_env change;
                int result;
        } rows[] = {
                { { .name = "A", .value = "1" }, 0 },
                { { .name = "A" }, 0 },
                { { .name = "A", .value = "=" }, 0 },
                { { .name = "a b", .value = "" }, 0 },
                { { .fn = refuse }, 0 },
                { { .name = NULL }, -EINVAL },
                { { .value = "1" }, -EINVAL },
                { { .name = "", .value = "1" }, -EINVAL },
                { { .name = "", .fn = refuse }, -EINVAL },
                { { .name = "=", .value = "1" }, -EINVAL },
                { { .name = "A=B" }, -EINVAL },
        };

        (void)state;
        assert_int_equal(env_check(NULL, 0), 0);
        for (size_t i = 0; i < COUNT(rows); i++) {
                const struct sluice_env behind[] = { { .name = "GOOD" }, rows[i].change };

                assert_int_equal(env_check(&rows[i].change, 1), rows[i].result);
                assert_int_equal(env_check(behind, 2), rows[i].result);
                assert_int_equal(env_check(behind, 1), 0);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(nothing_begins_empty),
                cmocka_unit_test(of_two_with_one_name_the_last_counts),
                cmocka_unit_test(what_has_no_name_passes_through),
                cmocka_unit_test(the_base_is_copied),
                cmocka_unit_test(many_keep_their_order),
                cmocka_unit_test(set_replaces_and_unset_removes),
                cmocka_unit_test(a_name_is_the_whole_of_it),
                cmocka_unit_test(its_own_value_can_be_made_from_it),
                cmocka_unit_test(a_bad_name_is_refused_and_changes_nothing),
                cmocka_unit_test(equal_signs_in_values_are_theirs),
                cmocka_unit_test(equal_signs_of_the_base_are_too),
                cmocka_unit_test(changes_are_made_in_order),
                cmocka_unit_test(the_first_error_ends_the_changes),
                cmocka_unit_test(a_change_with_a_bad_name_is_an_error),
                cmocka_unit_test(copies_are_their_own),
                cmocka_unit_test(a_copy_of_nothing_is_nothing),
                cmocka_unit_test(what_can_never_be_made_is_found_before),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
