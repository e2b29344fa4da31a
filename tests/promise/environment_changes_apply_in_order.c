/* environment_changes_apply_in_order.c: a command's environment is the host's or the one that replaces it, then the
 * pipeline's changes, then its own: later wins. Functions are asked when the run starts. The host's own stays as it is. */
#include <sys/stat.h>

#include "parts.h"

extern char **environ;

#define SHOW "printf '%s' \"${T_A-unset}\""

static int append_x(void *arg, struct sluice_environ *e)
{
        const char *was = sluice_environ_get(e, "T_A");
        char value[64];

        (void)arg;
        snprintf(value, sizeof(value), "%sx", was ? was : "");
        return sluice_environ_set(e, "T_A", value);
}

static int set_to(void *arg, struct sluice_environ *e)
{
        return sluice_environ_set(e, "T_A", arg);
}

static char *const base[] = { "T_A=base", "PATH=/usr/bin:/bin", NULL };
static char *const base_equals[] = { "T_A=a=b=", "PATH=/usr/bin:/bin", NULL };
static char *const base_twice[] = { "T_A=1", "T_A=2", "PATH=/usr/bin:/bin", NULL };
static char *const base_without[] = { "PATH=/usr/bin:/bin", NULL };

enum { CHANGES = 4 };
#define NONE T_UNSET(NULL)

/* T_A of the host is "host". */
static const struct row {
        struct sluice_env pipeline[CHANGES];
        char *const *env;
        struct sluice_env stage[CHANGES];
        const char *expected;
} rows[] = {
        { { NONE }, NULL, { NONE }, "host" },
        { { T_SET("T_A", "pipeline") }, NULL, { NONE }, "pipeline" },
        { { T_UNSET("T_A") }, NULL, { NONE }, "unset" },
        { { NONE }, NULL, { T_SET("T_A", "stage") }, "stage" },
        { { NONE }, NULL, { T_UNSET("T_A") }, "unset" },
        { { T_SET("T_A", "pipeline") }, NULL, { T_SET("T_A", "stage") }, "stage" },
        { { T_SET("T_A", "pipeline") }, NULL, { T_UNSET("T_A") }, "unset" },
        { { T_UNSET("T_A") }, NULL, { T_SET("T_A", "stage") }, "stage" },
        { { T_SET("T_A", "1"), T_SET("T_A", "2"), T_SET("T_B", "3") }, NULL, { NONE }, "2" },
        { { NONE }, NULL, { T_SET("T_A", "1"), T_UNSET("T_A"), T_SET("T_A", "2") }, "2" },
        { { T_UNSET("T_NOT_THERE") }, NULL, { T_UNSET("T_NOT_THERE") }, "host" },
        { { T_SET("T_A", "") }, NULL, { NONE }, "" },
        { { T_SET("T_A", "=b=c=") }, NULL, { NONE }, "=b=c=" },
        { { T_SET("T_AA", "other"), T_SET("T_", "other") }, NULL, { NONE }, "host" },
        /* replaced */
        { { NONE }, base, { NONE }, "base" },
        { { NONE }, base_equals, { NONE }, "a=b=" },
        { { NONE }, base_without, { NONE }, "unset" },
        { { T_SET("T_A", "pipeline") }, base, { NONE }, "pipeline" },
        { { NONE }, base, { T_SET("T_A", "stage") }, "stage" },
        { { NONE }, base_twice, { T_SET("T_A", "3") }, "3" },
        { { NONE }, base_twice, { T_UNSET("T_A") }, "unset" },
        /* asked */
        { { T_ASK(append_x, NULL) }, NULL, { NONE }, "hostx" },
        { { T_ASK(append_x, NULL) }, NULL, { T_ASK(append_x, NULL), T_ASK(append_x, NULL) }, "hostxxx" },
        { { T_SET("T_A", "1"), T_ASK(append_x, NULL), T_SET("T_B", "2") }, NULL, { T_ASK(append_x, NULL) }, "1xx" },
        { { T_ASK(append_x, NULL), T_SET("T_A", "1") }, NULL, { NONE }, "1" },
        { { T_UNSET("T_A") }, base, { T_ASK(append_x, NULL) }, "x" },
        { { T_ASK(set_to, NULL) }, NULL, { NONE }, "unset" },
        { { T_ASK(set_to, "a=b") }, NULL, { NONE }, "a=b" },
};

static size_t number(const struct sluice_env *changes)
{
        size_t n = 0;

        while (n < CHANGES && (changes[n].name || changes[n].fn))
                n++;
        return n;
}

/* All of the host's environment, as one text to compare. */
static char *hosts(void)
{
        size_t bytes = 0;
        char *text;
        FILE *f = open_memstream(&text, &bytes);

        for (char **e = environ; *e; e++)
                fprintf(f, "%p %s\n", (void *)*e, *e);
        fclose(f);
        return text;
}

static void test_order(void **state)
{
        char *before, *after;

        (void)state;
        setenv("T_A", "host", 1);
        before = hosts();
        for (size_t i = 0; i < T_NR(rows); i++) {
                const struct row *r = &rows[i];
                struct sluice_pipeline *p = t_new(T_OPTIONS(.env = r->pipeline, .env_nr = number(r->pipeline)));

                t_sh(p, SHOW, T_COMMAND(.env = r->env, .changes = r->stage, .changes_nr = number(r->stage)));
                t_says(p, r->expected);
        }
        after = hosts();
        assert_string_equal(before, after);
        free(before);
        free(after);
        unsetenv("T_A");
}

/* Later wins also means that the earlier is gone. */
static void test_no_name_is_there_twice(void **state)
{
        struct sluice_pipeline *p = t_new(T_OPTIONS(.env = T_ENV(T_SET("T_A", "3")), .env_nr = 1));

        (void)state;
        t_ok(sluice_add_command(p, T_ARGV("env"), T_COMMAND(.env = base_twice)));
        t_ok(sluice_add_command(p, T_ARGV("grep", "^T_A="), NULL));
        t_ok(sluice_pipeline_chain(p));
        t_says(p, "T_A=3\n");
}

/* Each command has its own. */
static void test_stages_do_not_share(void **state)
{
        const struct sluice_env all[] = { T_SET("T_A", "all"), T_SET("T_B", "all") };
        struct sluice_pipeline *p = t_new(T_OPTIONS(.env = all, .env_nr = T_NR(all)));
        const char *script = "cat; printf '%s %s.' \"$T_A\" \"$T_B\"";

        (void)state;
        t_sh(p, script, T_COMMAND(.changes = T_ENV(T_SET("T_A", "first")), .changes_nr = 1));
        t_sh(p, script, T_COMMAND(.changes = T_ENV(T_SET("T_B", "second")), .changes_nr = 1));
        t_sh(p, script, NULL);
        t_ok(sluice_pipeline_chain(p));
        t_says(p, "first all.all second.all all.");
}

/* What was given may go once it is given. */
static void test_changes_are_copied(void **state)
{
        char name[] = "T_A", value[] = "kept";
        struct sluice_env change = { .name = name, .value = value };
        struct sluice_pipeline *p = t_new(T_OPTIONS(.env = &change, .env_nr = 1));

        (void)state;
        t_sh(p, SHOW, T_COMMAND(.changes = &change, .changes_nr = 1));
        memset(value, 'y', strlen(value));
        memset(name, 'z', strlen(name));
        memset(&change, 0, sizeof(change));
        t_says(p, "kept");
}

/* ---- functions ---- */

struct asked {
        int times, error;
        pthread_t thread;
};

static int count(void *arg, struct sluice_environ *e)
{
        struct asked *a = arg;
        char value[16];

        a->thread = pthread_self();
        snprintf(value, sizeof(value), "%d", ++a->times);
        return a->error ? a->error : sluice_environ_set(e, "T_A", value);
}

static void test_asked_at_every_start(void **state)
{
        struct asked a = { 0 };
        struct sluice_pipeline *p = t_new(T_OPTIONS(.env = T_ENV(T_ASK(count, &a)), .env_nr = 1));

        (void)state;
        t_sh(p, "exit $T_A", NULL);
        assert_int_equal(sluice_pipeline_build(p), 0);
        assert_int_equal(a.times, 0);
        for (int i = 1; i < 4; i++) {
                t_run(p, -ECHILD);
                assert_int_equal(a.times, i);
                assert_int_equal(t_failure(p).exit_status, i);
        }
        assert_true(pthread_equal(a.thread, pthread_self()));
        sluice_pipeline_free(p);
}

static void test_error_fails_the_start(void **state)
{
        struct asked a = { .error = -EILSEQ };
        struct sluice_pipeline *p = t_new(NULL);
        char script[256];

        (void)state;
        snprintf(script, sizeof(script), "echo ran >%s", t_path("side"));
        t_sh(p, script, NULL);
        t_sh(p, "cat", T_COMMAND(.changes = T_ENV(T_ASK(count, &a)), .changes_nr = 1));
        t_ok(sluice_pipeline_chain(p));
        t_run(p, -EILSEQ);
        assert_int_equal(sluice_pipeline_error_stage(p), 1);
        assert_false(t_exists(t_path("side")));
        sluice_pipeline_free(p);
}

static int results[5];

static int misuse(void *arg, struct sluice_environ *e)
{
        (void)arg;
        results[0] = sluice_environ_set(e, "", "x");
        results[1] = sluice_environ_set(e, "T_A=", "x");
        results[2] = sluice_environ_set(e, "=", NULL);
        results[3] = sluice_environ_get(e, "T_NOT_THERE") != NULL;
        results[4] = sluice_environ_set(e, "T_NOT_THERE", NULL);
        return 0;
}

static void test_names_that_cannot_be(void **state)
{
        struct sluice_pipeline *p = t_new(T_OPTIONS(.env = T_ENV(T_SET("T_A", "1"), T_ASK(misuse, NULL)), .env_nr = 2));

        (void)state;
        t_sh(p, SHOW, NULL);
        t_says(p, "1");
        for (int i = 0; i < 3; i++)
                assert_int_equal(results[i], -EINVAL);
        assert_int_equal(results[3], 0);
        assert_int_equal(results[4], 0);
}

/* ---- PATH ---- */

/* A command is looked for where its own environment says. */
static void test_path_of_the_command(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);
        char path[256];

        (void)state;
        t_make_text(t_path("sluice-test-tool"), "#!/bin/sh\necho found\n");
        assert_return_code(chmod(t_path("sluice-test-tool"), 0700), errno);
        snprintf(path, sizeof(path), "/nonexistent:%s:/usr/bin:/bin", t_path(""));
        t_ok(sluice_add_command(p, T_ARGV("sluice-test-tool"), T_COMMAND(.changes = T_ENV(T_SET("PATH", path)), .changes_nr = 1)));
        t_says(p, "found\n");
        p = t_new(NULL);
        t_ok(sluice_add_command(p, T_ARGV("cat"), T_COMMAND(.changes = T_ENV(T_SET("PATH", "/nonexistent")), .changes_nr = 1)));
        t_run_free(p, -ENOENT);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                T_TEST(test_order),
                T_TEST(test_no_name_is_there_twice),
                T_TEST(test_stages_do_not_share),
                T_TEST(test_changes_are_copied),
                T_TEST(test_asked_at_every_start),
                T_TEST(test_error_fails_the_start),
                T_TEST(test_names_that_cannot_be),
                T_TEST(test_path_of_the_command),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
