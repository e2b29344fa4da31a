/* a_crash_is_the_stages_own.c: a function in a process of its own works as on a thread, to the very errno; whatever it does to
 * its process is its stage's failure, by name; the host lives, and nothing of it is left. */
#include <dlfcn.h>
#include <sys/stat.h>

#include "parts.h"

enum { FAR_MS = 60000 };

#define T_ISOLATED(s, a)                                                                                                           \
        (&(const struct sluice_function_options){ .size = sizeof(struct sluice_function_options),                                  \
                                                  .flags = SLUICE_ISOLATED,                                                        \
                                                  .object = FUNCTIONS,                                                             \
                                                  .symbol = (s),                                                                   \
                                                  .argument = (a) })

static int add(struct sluice_pipeline *p, const char *symbol, const char *argument)
{
        return t_ok(sluice_add_function_with(p, NULL, NULL, T_ISOLATED(symbol, argument)));
}

/* ---- it works ---- */

static void test_argument(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        add(p, "f_say", "a word, and = \"more\"\n");
        t_says(p, "a word, and = \"more\"\n");
}

static void test_no_argument(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        add(p, "f_say", NULL);
        t_says(p, "");
}

static void test_another_process(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);
        size_t bytes;
        char *text;

        (void)state;
        add(p, "f_pid", NULL);
        text = t_capture(p, 0, 0, &bytes);
        assert_int_equal(atoi(text), t_result(p, 0).pid);
        assert_int_not_equal(atoi(text), getpid());
        free(text);
        sluice_pipeline_free(p);
}

static void test_files_themselves(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        t_make(t_path("a"), 3 * T_MIB + 17);
        t_ok(sluice_add_file(p, t_path("a"), NULL));
        add(p, "f_copy", NULL);
        add(p, "f_copy", NULL);
        t_ok(sluice_add_file(p, t_path("b"), NULL));
        t_chain(p);
        t_run(p, 0);
        assert_int_equal(sluice_pipeline_link_mode(p, 0), SLUICE_LINK_DIRECT);
        assert_int_equal(sluice_pipeline_link_mode(p, 1), SLUICE_LINK_PIPE);
        assert_int_equal(sluice_pipeline_link_mode(p, 2), SLUICE_LINK_DIRECT);
        sluice_pipeline_free(p);
        t_check_file(t_path("b"), 3 * T_MIB + 17, 0);
}

/* Beside a command, a function on the loop, and what the engine moves. */
static void test_neighbours(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        t_make(t_path("a"), 5 * T_MIB + 3);
        t_ok(sluice_add_file(p, t_path("a"), T_FILE(.flags = SLUICE_FILE_SNAPSHOT)));
        add(p, "f_copy", NULL);
        t_ok(sluice_add_command(p, T_ARGV("cat"), NULL));
        add(p, "f_copy", NULL);
        t_ok(sluice_add_count(p));
        add(p, "f_copy", NULL);
        t_ok(sluice_add_file(p, t_path("b"), T_FILE(.flags = SLUICE_FILE_OBSERVE)));
        t_chain(p);
        t_run_free(p, 0);
        t_check_file(t_path("b"), 5 * T_MIB + 3, 0);
}

static void test_lines(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        t_sh(p, "printf 'one\\ntwo\\nthree'", NULL);
        add(p, "f_lines", "100");
        t_ok(sluice_pipeline_chain(p));
        t_says(p, "1 one\n2 two\n3 three");
}

/* By its address here: it is found, and runs elsewhere. */
static void test_by_address(void **state)
{
        void *object = dlopen(FUNCTIONS, RTLD_LAZY | RTLD_LOCAL);
        struct sluice_function_options o = { .size = sizeof(o), .flags = SLUICE_ISOLATED, .argument = "found" };
        struct sluice_pipeline *p = t_new(NULL);
        sluice_function_fn *fn;

        (void)state;
        assert_non_null(object);
        *(void **)&fn = dlsym(object, "f_say");
        t_ok(sluice_add_function_with(p, fn, NULL, &o));
        t_says(p, "found");
        p = t_new(NULL);
        fn = *(sluice_function_fn *const *)dlsym(object, "f_hidden");
        assert_int_equal(sluice_add_function_with(p, fn, NULL, &o), -EINVAL);
        *(void **)&fn = dlsym(object, "f_say");
        fn = (sluice_function_fn *)((uintptr_t)fn + 1);
        assert_int_equal(sluice_add_function_with(p, fn, NULL, &o), -EINVAL);
        sluice_pipeline_free(p);
        dlclose(object);
}

/* It is loaded as the file that it is: what stands beside it is found. */
static void test_objects_beside_it(void **state)
{
        struct sluice_function_options o = *T_ISOLATED("f_needs", NULL);
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        o.object = NEEDS;
        t_ok(sluice_add_function_with(p, NULL, NULL, &o));
        t_ok(sluice_add_null(p));
        t_chain(p);
        t_run_free(p, -300);
}

static void test_options_of_its_process(void **state)
{
        struct sluice_function_options o = *T_ISOLATED("f_say_variable", "T_VARIABLE");
        struct sluice_pipeline *p = t_new(T_OPTIONS(.env = T_ENV(T_SET("T_VARIABLE", "theirs")), .env_nr = 1));

        (void)state;
        o.process = T_COMMAND(.changes = T_ENV(T_SET("T_VARIABLE", "its own")), .changes_nr = 1, .directory = "/");
        t_ok(sluice_add_function_with(p, NULL, NULL, &o));
        t_says(p, "its own in /");
}

static void test_memory_limit(void **state)
{
        struct sluice_function_options o = *T_ISOLATED("f_eats", NULL);
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        o.process = T_COMMAND(.memory_bytes = 32 * T_MIB);
        t_ok(sluice_add_function_with(p, NULL, NULL, &o));
        t_ok(sluice_add_null(p));
        t_chain(p);
        t_run(p, -ENOMEM);
        assert_true(t_result(p, 0).limit_exceeded);
        sluice_pipeline_free(p);
}

/* ---- its answers ---- */

static void answers(const char *argument, int result, enum sluice_verdict verdict, const char *words)
{
        struct sluice_pipeline *p = t_new(NULL);
        struct sluice_function_options o = *T_ISOLATED("f_returns", argument);
        struct sluice_stage_result s;

        o.name = "picky";
        t_ok(sluice_add_function_with(p, NULL, NULL, &o));
        t_ok(sluice_add_null(p));
        t_chain(p);
        t_run(p, result);
        t_verdict(p, 0, verdict);
        s = t_result(p, 0);
        assert_int_equal(s.error, result);
        assert_string_equal(s.message, words);
        assert_string_equal(sluice_pipeline_error(p), words);
        assert_int_equal(s.exit_status, -1); /* a function has none */
        assert_int_equal(s.signal, 0);
        if (result < 0) {
                assert_string_equal(s.operation, "run");
                assert_int_equal(t_failure(p).exit_status, -1);
        }
        sluice_pipeline_free(p);
}

static void test_answers(void **state)
{
        (void)state;
        answers("0", 0, SLUICE_VERDICT_OK, "");
        answers("1", 0, SLUICE_VERDICT_EARLY, "");
        answers("2", 0, SLUICE_VERDICT_EARLY, "");
        answers("-5", -EIO, SLUICE_VERDICT_FAILED, "picky: Input/output error");
        answers("-71", -EPROTO, SLUICE_VERDICT_FAILED, "picky: Protocol error");
        answers("-300", -300, SLUICE_VERDICT_FAILED, "picky: Unknown error 300"); /* no exit status could carry it */
        answers("-32", -EPIPE, SLUICE_VERDICT_PIPE, "picky: Broken pipe");
}

static void test_answer_may_be_ignored(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        add(p, "f_returns", "-71");
        t_ok(sluice_add_null(p));
        t_chain(p);
        t_ok(sluice_pipeline_ignore(p, 0, SLUICE_IGNORE_ERRNO, EPROTO));
        t_run(p, 0);
        assert_true(t_result(p, 0).ignored);
        sluice_pipeline_free(p);
}

static void test_finish_early_excuses(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        t_ok(sluice_add_command(p, T_ARGV("yes"), NULL));
        add(p, "f_stops_reading", NULL);
        t_chain(p);
        t_run(p, 0);
        t_verdict(p, 1, SLUICE_VERDICT_EARLY);
        assert_true(t_result(p, 0).excused);
        sluice_pipeline_free(p);
}

/* A broken pipe is an error of its write, as on a thread: no signal ends it. */
static void test_reader_that_has_enough(void **state)
{
        struct sluice_pipeline *p = t_new(T_OPTIONS(.flags = SLUICE_EARLY_EXIT_OK));

        (void)state;
        add(p, "f_endless", NULL);
        t_ok(sluice_add_command(p, T_ARGV("head", "-c", "5"), NULL));
        t_ok(sluice_add_null(p));
        t_chain(p);
        t_run(p, 0);
        t_verdict(p, 0, SLUICE_VERDICT_PIPE);
        assert_int_equal(t_result(p, 0).error, -EPIPE);
        assert_int_equal(t_result(p, 0).signal, 0);
        assert_true(t_result(p, 0).excused);
        sluice_pipeline_free(p);
}

/* It writes the device itself: what it sees is exact. */
static void test_full_disk(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        add(p, "f_endless", NULL);
        t_ok(sluice_add_file(p, "/dev/full", NULL));
        t_chain(p);
        t_run(p, -ENOSPC);
        assert_int_equal(t_failure(p).stage, 0);
        assert_false(t_failure(p).inferred);
        sluice_pipeline_free(p);
}

/* ---- what it does to its process ---- */

static void dies(const char *symbol, const char *argument, int signal, int exit_status, const char *words)
{
        struct sluice_pipeline *p = t_new(NULL);
        struct sluice_function_options o = *T_ISOLATED(symbol, argument);
        struct sluice_stage_result s;

        o.name = "wild";
        t_ok(sluice_add_function_with(p, NULL, NULL, &o));
        t_ok(sluice_add_file(p, t_path("kept"), T_FILE(.flags = SLUICE_FILE_ATOMIC)));
        t_chain(p);
        t_run(p, -ECHILD);
        s = t_result(p, 0);
        t_verdict(p, 0, SLUICE_VERDICT_FAILED);
        assert_string_equal(s.message, words);
        assert_int_equal(s.signal, signal);
        assert_int_equal(s.exit_status, exit_status);
        assert_int_equal(t_failure(p).stage, 0);
        assert_int_equal(t_failure(p).signal, signal);
        sluice_pipeline_free(p);
        assert_false(t_exists(t_path("kept"))); /* a cut stream replaces nothing */
}

static void test_deaths(void **state)
{
        (void)state;
        dies("f_segfault", NULL, SIGSEGV, -1, "wild: killed by SIGSEGV");
        dies("f_abort", NULL, SIGABRT, -1, "wild: killed by SIGABRT");
        dies("f_kills_itself", NULL, SIGKILL, -1, "wild: killed by SIGKILL");
        dies("f_exit", "3", 0, 3, "wild: exit status 3 before it returned");
        dies("f_exit", "0", 0, 0, "wild: exit status 0 before it returned");
        dies("f_exit_group", "0", 0, 0, "wild: exit status 0 before it returned");
        dies("f_exit", "141", 0, 141, "wild: exit status 141 before it returned"); /* no shell's word for a broken pipe */
        dies("f_crash_later", NULL, SIGBUS, -1, "wild: killed by SIGBUS");
}

/* What it was to say it cannot forge by accident, nor take back. */
static void test_closes_everything(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        add(p, "f_closes_everything", NULL);
        t_ok(sluice_add_null(p));
        t_chain(p);
        t_run_free(p, -ENOTUNIQ);
}

static void test_others_go_on(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        add(p, "f_segfault", NULL);
        t_sh(p, "cat; echo still here", NULL);
        t_ok(sluice_add_file(p, t_path("out"), NULL));
        t_chain(p);
        t_run_free(p, -ECHILD);
        t_check_text(t_path("out"), "still here\n");
}

static void test_stderr_is_kept(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        add(p, "f_whines", "the disk is on fire");
        t_ok(sluice_add_null(p));
        t_chain(p);
        t_run(p, -EIO);
        assert_string_equal(t_result(p, 0).stderr_tail, "first line\nthe disk is on fire\n");
        assert_string_equal(t_failure(p).stderr_tail, "first line\nthe disk is on fire\n");
        assert_string_equal(sluice_pipeline_error(p), "isolated: Input/output error: the disk is on fire");
        sluice_pipeline_free(p);
}

static void test_flood_on_stderr(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        add(p, "f_floods", NULL);
        t_ok(sluice_add_null(p));
        t_chain(p);
        t_run(p, 0);
        assert_non_null(strstr(t_result(p, 0).stderr_tail, "line 99999\n"));
        sluice_pipeline_free(p);
}

/* ---- the run's end ---- */

static bool appeared(void *path)
{
        return t_exists(path);
}

/* Its input is silent, and outlives it. Who answers to being asked has all the time he needs. */
static void cancelled(const char *symbol, enum sluice_verdict verdict, int64_t grace_ms, unsigned flags)
{
        struct sluice_pipeline *p = t_new(T_OPTIONS(.grace_ms = grace_ms, .flags = flags));
        char *sign = strdup(t_path("sign"));
        int fds[2];

        t_pipe(fds);
        t_ok(sluice_add_fd(p, fds[0], 0));
        add(p, symbol, sign);
        t_ok(sluice_add_command(p, T_ARGV("sleep", "1000"), NULL));
        t_chain(p);
        t_run_and_stop(p, appeared, sign);
        t_verdict(p, 1, verdict);
        sluice_pipeline_free(p);
        unlink(sign);
        free(sign);
        close(fds[0]);
        close(fds[1]);
}

static void test_cancelled(void **state)
{
        const unsigned flags[] = { 0, SLUICE_GUARD, SLUICE_PROCESS_GROUP };

        (void)state;
        for (size_t i = 0; i < T_NR(flags); i++) {
                cancelled("f_until_cancelled", SLUICE_VERDICT_OK, FAR_MS, flags[i]);
                cancelled("f_waits_for_input", SLUICE_VERDICT_ENDED, FAR_MS, flags[i]);
                cancelled("f_endless", SLUICE_VERDICT_ENDED, FAR_MS, flags[i]);
                cancelled("f_deaf", SLUICE_VERDICT_ENDED, T_GRACE_MS, flags[i]);
        }
}

/* It was asked first: what it does on being cancelled is done. */
static void test_cancel_is_heard(void **state)
{
        struct sluice_pipeline *p = t_new(T_OPTIONS(.grace_ms = FAR_MS));
        char *note = strdup(t_path("note"));

        (void)state;
        add(p, "f_leaves_a_note", note);
        t_ok(sluice_add_null(p));
        t_chain(p);
        t_run_and_stop(p, appeared, note);
        sluice_pipeline_free(p);
        t_check_text(note, "cancelled\n");
        free(note);
}

/* However early it is asked: the process runs, and has not come to the function yet. */
static void test_cancel_is_heard_at_once(void **state)
{
        const unsigned flags[] = { 0, SLUICE_GUARD };

        (void)state;
        for (size_t i = 0; i < 20; i++) {
                struct sluice_pipeline *p = t_new(T_OPTIONS(.grace_ms = FAR_MS, .flags = flags[i % T_NR(flags)]));
                struct sluice_loop *l;
                int result = 1;

                add(p, "f_leaves_a_note", t_path("note"));
                t_ok(sluice_add_null(p));
                t_chain(p);
                t_ok(sluice_loop_new(&l, NULL));
                t_ok(sluice_pipeline_start(p, l, t_keep_result, &result));
                while (sluice_pipeline_stage_pid(p, 0) < 0)
                        assert_true(sluice_loop_turn(l, -1) >= 0);
                sluice_pipeline_stop(p);
                while (result == 1)
                        assert_true(sluice_loop_turn(l, -1) >= 0);
                assert_int_equal(result, -ECANCELED);
                assert_int_equal(t_result(p, 0).signal, 0);
                t_check_text(t_path("note"), "cancelled\n");
                unlink(t_path("note"));
                sluice_pipeline_free(p);
                sluice_loop_free(l);
        }
}

static void test_what_it_starts_ends(void **state)
{
        const unsigned flags[] = { 0, SLUICE_GUARD };

        (void)state;
        for (size_t i = 0; i < T_NR(flags); i++) {
                struct sluice_pipeline *p = t_new(T_OPTIONS(.grace_ms = T_GRACE_MS, .flags = flags[i]));
                char *text;
                size_t bytes;

                add(p, "f_grandchild", NULL);
                text = t_capture(p, 0, 0, &bytes);
                if (flags[i] & SLUICE_GUARD) {
                        assert_int_equal(kill(atoi(text), 0), -1);
                        assert_int_equal(errno, ESRCH);
                }
                kill(atoi(text), SIGKILL);
                free(text);
                sluice_pipeline_free(p);
        }
}

/* ---- nothing to run ---- */

static void refused(const char *object, const char *symbol, int error, const char *words)
{
        struct sluice_pipeline *p = t_new(NULL);
        struct sluice_function_options o = *T_ISOLATED(symbol, NULL);

        t_make_text(t_path("precious"), "old");
        o.object = object;
        t_ok(sluice_add_function_with(p, NULL, NULL, &o));
        t_ok(sluice_add_file(p, t_path("precious"), NULL));
        t_chain(p);
        t_run(p, error);
        assert_int_equal(t_failure(p).stage, 0);
        if (!strstr(sluice_pipeline_error(p), words))
                fail_msg("'%s' does not say '%s'", sluice_pipeline_error(p), words);
        assert_string_equal(t_failure(p).operation, "load");
        assert_int_equal(t_result(p, 0).exit_status, -1);
        sluice_pipeline_free(p);
}

static void test_found_before_anything_starts(void **state)
{
        (void)state;
        refused(t_path("missing.so"), "f_say", -ENOENT, "missing.so: No such file or directory");
        refused(FUNCTIONS, "f_nowhere", -ENOENT, "functions.so: no function 'f_nowhere'");
        refused(FUNCTIONS, "f_no_function", -ENOENT, "functions.so: no function 'f_no_function'");
        refused(FUNCTIONS, "crash", -ENOENT, "no function 'crash'");   /* static */
        refused(FUNCTIONS, "printf", -ENOENT, "no function 'printf'"); /* what it needs is not what it defines */
        t_make_text(t_path("text.so"), "not a shared object, though it is long enough to be taken for one by its length alone\n");
        refused(t_path("text.so"), "f", -ENOEXEC, "text.so: no shared object of this machine");
        t_make_text(t_path("empty.so"), "");
        refused(t_path("empty.so"), "f", -ENOEXEC, "empty.so: no shared object of this machine");
        refused("/", "f", -ENOEXEC, "/: no shared object of this machine");
        refused("/bin/sh", "main", -ENOENT, "no function 'main'");
        t_check_text(t_path("precious"), "old");
}

/* Seen by the loader only, in the worker. */
static void test_loaders_words(void **state)
{
        (void)state;
        refused(UNDEFINED, "f_calls_nowhere", -ENOEXEC, "undefined.so: undefined symbol: nowhere_at_all");
}

/* ---- calls ---- */

static void test_bad_options(void **state)
{
        static const struct sluice_command_options impossible = { .size = sizeof(impossible), .stderr_to = SLUICE_STDERR_FILE };
        struct sluice_function_options good = *T_ISOLATED("f_say", "x"), o;
        struct sluice_pipeline *p = t_new(NULL);
        sluice_function_fn *here;
        int x = 0;

        (void)state;
        *(void **)&here = (void *)(uintptr_t)test_bad_options;
#define REFUSED(fn, arg, ...)                                                                                                      \
        do {                                                                                                                       \
                o = good;                                                                                                          \
                __VA_ARGS__;                                                                                                       \
                assert_int_equal(sluice_add_function_with(p, fn, arg, &o), -EINVAL);                                               \
        } while (0)
        REFUSED(NULL, NULL, o.object = NULL);
        REFUSED(NULL, NULL, o.object = "");
        REFUSED(NULL, NULL, o.symbol = NULL);
        REFUSED(NULL, NULL, o.symbol = "");
        REFUSED(NULL, &x, (void)0);                      /* what it points to is not in that process */
        REFUSED(here, NULL, (void)0);                    /* which of the two? */
        REFUSED(here, NULL, o.object = o.symbol = NULL); /* the program's own, and static */
        REFUSED(NULL, NULL, o.object = o.symbol = NULL);
        REFUSED(NULL, NULL, o.flags = SLUICE_ISOLATED | SLUICE_FORKED);
        REFUSED(NULL, NULL, o.flags = 0);
        REFUSED(here, NULL, o.flags = 0);
        REFUSED(NULL, NULL, o.flags |= 1u << 20);
        REFUSED(NULL, NULL, o.size = 8);
        REFUSED(NULL, NULL, o.size++);
        REFUSED(NULL, NULL, o.process = &impossible);
        assert_int_equal(sluice_pipeline_stages(p), 0);
        sluice_pipeline_free(p);
}

static void test_without_options_it_is_a_thread(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);
        sluice_function_fn *here;

        (void)state;
        *(void **)&here = (void *)(uintptr_t)test_without_options_it_is_a_thread;
        t_ok(sluice_add_function_with(p, here, NULL, NULL));
        assert_string_equal(sluice_pipeline_stage_name(p, 0), "function");
        sluice_pipeline_free(p);
}

/* ---- a plan, many times, on a shared loop ---- */

static void done(void *arg, int result)
{
        *(int *)arg = result;
}

static void test_side_by_side_on_a_loop(void **state)
{
        enum { RUNS = 8 };
        int results[RUNS];
        struct sluice_pipeline *p = t_new(NULL);
        struct sluice_plan *plan;
        struct sluice_loop *l;

        (void)state;
        t_ok(sluice_add_generate(p, 300000));
        add(p, "f_copy", NULL);
        add(p, "f_crash_later", NULL);
        t_chain(p);
        assert_int_equal(sluice_plan_new(&plan, p), 0);
        assert_int_equal(sluice_loop_new(&l, NULL), 0);
        for (int i = 0; i < RUNS; i++) {
                results[i] = 1;
                assert_int_equal(sluice_plan_start(plan, l, NULL, 0, done, &results[i]), 0);
        }
        for (int i = 0; i < RUNS; i++) {
                while (results[i] == 1)
                        assert_true(sluice_loop_turn(l, 1000) >= 0);
                assert_int_equal(results[i], -ECHILD);
        }
        sluice_loop_free(l);
        sluice_plan_free(plan);
        sluice_pipeline_free(p);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                T_TEST(test_argument),
                T_TEST(test_no_argument),
                T_TEST(test_another_process),
                T_TEST(test_files_themselves),
                T_TEST(test_neighbours),
                T_TEST(test_lines),
                T_TEST(test_by_address),
                T_TEST(test_objects_beside_it),
                T_TEST(test_options_of_its_process),
                T_TEST(test_memory_limit),
                T_TEST(test_answers),
                T_TEST(test_answer_may_be_ignored),
                T_TEST(test_finish_early_excuses),
                T_TEST(test_reader_that_has_enough),
                T_TEST(test_full_disk),
                T_TEST(test_deaths),
                T_TEST(test_closes_everything),
                T_TEST(test_others_go_on),
                T_TEST(test_stderr_is_kept),
                T_TEST(test_flood_on_stderr),
                T_TEST(test_cancelled),
                T_TEST(test_cancel_is_heard),
                T_TEST(test_cancel_is_heard_at_once),
                T_TEST(test_what_it_starts_ends),
                T_TEST(test_found_before_anything_starts),
                T_TEST(test_loaders_words),
                T_TEST(test_bad_options),
                T_TEST(test_without_options_it_is_a_thread),
                T_TEST(test_side_by_side_on_a_loop),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
