/* tests/fuzz/language.c: any text as a pipeline: read, built, explained; nothing is run. What is refused is marked inside the
 * text, in words; what is built is explained for every link. */
#include <errno.h>

#include <sluice/stages.h>

#include "fuzz.h"
#include "language.h"
#include "tools.h"

const char *const fuzz_words[] = {
        "tee(",      "tee-strict(", "merge(",   "merge-raw(", "merge-turns(", "concat(",     "par(2, ",
        "par(4,",    "order=any",   "part=64k", ")",          ", ",           " | ",         "|",
        "-",         "file:x",      "append:y", "null:",      "zero:",        "tcp:h:1",     "unix:s",
        "lines:",    "count:",      "spill:z",  "tail:a",     "isolated:o",   "symbol=f",    "compress:3",
        "throttle:", "generate:1k", "'",        "\"",         "\\",           "\\\n",        ",atomic",
        ",mode=600", "drop:",       "fd:1",     "plugin:p",   "checksum:",    "decompress:", NULL
};

bool standard_is_open(int fd)
{
        (void)fd;
        return true;
}

#undef sluice_add_named
int sluice_add_named(struct sluice_pipeline *p, const char *stage, const char *argument, const struct sluice_option *options,
                     size_t options_nr, struct sluice_text_error *ret_error);
int fuzz_add_named(struct sluice_pipeline *p, const char *stage, const char *argument, const struct sluice_option *options,
                   size_t options_nr, struct sluice_text_error *ret_error);

/* A plug-in is code of whoever wrote the text: it is the one stage that is not for the fuzzer. */
int fuzz_add_named(struct sluice_pipeline *p, const char *stage, const char *argument, const struct sluice_option *options,
                   size_t options_nr, struct sluice_text_error *ret_error)
{
        int r;

        if (strcmp(stage, "plugin") == 0)
                return -ENOENT;
        r = sluice_add_named(p, stage, argument, options, options_nr, ret_error);
#ifdef FUZZ_PLANTED_BUG
        if (r == -EINVAL && options_nr == 2)
                ret_error->message[0] = '\0';
#endif
        return r;
}

static void check_error(const char *text, const struct language_error *e)
{
        CLAIM(e->message[0]);
        CLAIM(memchr(e->message, '\0', sizeof(e->message)));
        CLAIM(e->width > 0);
        CLAIM(e->column <= strlen(text));
        CLAIM(e->column + e->width <= strlen(text) + 1);
}

static void explain(struct sluice_pipeline *p)
{
        char words[512];

        for (int i = 0; i < sluice_pipeline_links(p); i++)
                CLAIM(sluice_pipeline_explain(p, i, words, sizeof(words)) > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
        static struct language_result result;
        struct language_error error = { 0 };
        struct sluice_pipeline *p;
        char *text = text_of(data, bytes);
        int r;

        CLAIM(sluice_pipeline_new(&p, NULL) == 0);
        r = language_build(p, text, NULL, &result, &error);
        CLAIM(r <= 0);
        if (r == -EINVAL)
                check_error(text, &error);
        if (r == 0) {
                CLAIM(result.stages_nr > 0);
                for (int i = 0; i < result.stages_nr; i++)
                        CLAIM(result.column[i] + result.width[i] <= strlen(text) + 1);
                r = sluice_pipeline_build(p);
                CLAIM(r == 0 || sluice_pipeline_error(p)[0]);
                if (r == 0)
                        explain(p);
        }
        sluice_pipeline_free(p);
        free(text);
        return 0;
}
