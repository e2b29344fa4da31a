/* tests/fuzz/sheet.c: a worker that lies to its host: a function in a process of its own that writes what it wants into the sheet
 * on which it is to say what came of it (worker.h). The host lives, says what it believes in words, and takes nothing of the
 * sheet's size for granted.
 *
 *      input = how it ends, where it writes, what it writes */
#include <errno.h>

#include <sluice/stages.h>

#include "fuzz.h"
#include "worker.h"

const char *const fuzz_words[] = { "\x01\x00\x00\x00", "\x02\x00\x00\x00", "\x00\x00\x00\x80", "\xff\xff\xff\xff", "%s%n", NULL };

/* The end of its words is somebody else's to find. */
static void check_words(const char *words)
{
        CLAIM(words);
        CLAIM(strlen(words) < 1024);
}

static void check(struct sluice_pipeline *p, int r)
{
        struct sluice_stage_result result = { .size = sizeof(result) };
        struct sluice_failure failures[4];
        int nr = sluice_pipeline_failures(p, failures, COUNT(failures));

        CLAIM(r <= 0 && r >= -4095);
        CLAIM((r < 0) == (nr > 0));
        for (int i = 0; i < nr; i++)
                check_words(failures[i].message);
        CLAIM(sluice_pipeline_stage_result(p, 0, &result) == 0);
        CLAIM(sluice_verdict_name(result.verdict));
        CLAIM(result.error <= 0);
        check_words(result.message);
#ifdef FUZZ_PLANTED_BUG
        CLAIM(!strstr(result.message, "@@"));
#endif
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
        static const int ends[] = { -1, 0, WORKER_REFUSED_STATUS, 1 };
        char argument[2 * sizeof(struct worker_sheet) + 64];
        struct taken t = { data, bytes, 0 };
        const struct sluice_function_options o = {
                .size = sizeof(o), .flags = SLUICE_ISOLATED, .object = FUNCTIONS, .symbol = "f_scribbles", .argument = argument
        };
        const struct sluice_options options = { .size = sizeof(options) };
        int end = ends[take_byte(&t) % COUNT(ends)], at = (int)take_byte(&t);
        struct sluice_pipeline *p;
        size_t used = (size_t)snprintf(argument, sizeof(argument), "%d %d ", end, at);

        while (!taken_all(&t) && used + 3 < sizeof(argument))
                used += (size_t)snprintf(argument + used, sizeof(argument) - used, "%02x", take_byte(&t));
        CLAIM(sluice_pipeline_new(&p, &options) == 0);
        CLAIM(sluice_add_function_with(p, NULL, NULL, &o) == 0);
        check(p, sluice_pipeline_run(p));
        sluice_pipeline_free(p);
        return 0;
}
