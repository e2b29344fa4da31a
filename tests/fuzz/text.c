/* tests/fuzz/text.c: what is written as text in options: sizes and durations against a slow reading of the same grammar, addresses
 * against being put together again, and every stage's options, which refuse in words. */
#include <ctype.h>
#include <errno.h>
#include <strings.h>

#include <sluice/stages.h>

#include "fuzz.h"
#include "text.h"

const char *const fuzz_words[] = { ".",
                                   "0",
                                   "9223372036854775807",
                                   "9223372036854775808",
                                   "8388608t",
                                   "KiB",
                                   "ms",
                                   "min",
                                   "d",
                                   "[::1]:",
                                   ":65535",
                                   ":65536",
                                   "]:",
                                   "::",
                                   "file\n",
                                   "tail\n",
                                   "\noffset=",
                                   "\nlength=",
                                   "\nmode=",
                                   "\nmax",
                                   "\nuntil=idle:",
                                   "\nsync",
                                   "=data",
                                   "spill\n",
                                   "throttle\n",
                                   "unix\n",
                                   "\n",
                                   NULL };

/* ---- sizes and durations ---- */

__extension__ typedef unsigned __int128 wide;

struct scale {
        const char *unit;
        uint64_t factor;
};

static const struct scale sizes[] = { { "", 1 },          { "b", 1 },          { "k", 1 << 10 },   { "kib", 1 << 10 },
                                      { "m", 1 << 20 },   { "mib", 1 << 20 },  { "g", 1ul << 30 }, { "gib", 1ul << 30 },
                                      { "t", 1ul << 40 }, { "tib", 1ul << 40 } };
static const struct scale durations[] = { { "", 1000 },     { "s", 1000 },    { "ms", 1 },      { "m", 60000 },
                                          { "min", 60000 }, { "h", 3600000 }, { "d", 86400000 } };

/* Six digits behind the point count, the rest is cut; rounded to the nearest, halves up. In 128 bits nothing runs over. */
static int read_slowly(const char *text, const struct scale *scales, size_t nr, int64_t *ret)
{
        wide millionths = 0, value;
        const char *at = text;
        unsigned behind = 0;
        bool point = false;

        if (!isdigit((unsigned char)*at))
                return -EINVAL;
        for (; isdigit((unsigned char)*at) || (*at == '.' && !point && isdigit((unsigned char)at[1])); at++) {
                if (*at == '.') {
                        point = true;
                        continue;
                }
                if (point && behind == 6)
                        continue;
                behind += point;
                if (millionths < (wide)1 << 100) /* else it is too large in any unit */
                        millionths = millionths * 10 + (unsigned)(*at - '0');
        }
        for (; behind < 6; behind++)
                millionths *= 10;
        for (size_t i = 0; i < nr; i++) {
                if (strcasecmp(at, scales[i].unit) != 0)
                        continue;
                if (millionths / 1000000 > INT64_MAX)
                        return -ERANGE;
                value = (millionths * scales[i].factor + 500000) / 1000000;
                *ret = (int64_t)value;
                return value > INT64_MAX ? -ERANGE : 0;
        }
        return -EINVAL;
}

static void check_number(const char *text, int (*parse)(const char *, int64_t *), const struct scale *scales, size_t nr)
{
        int64_t got = -7, wanted = 0;
        int r = parse(text, &got), slow = read_slowly(text, scales, nr, &wanted);

#ifdef FUZZ_PLANTED_BUG
        if (r == 0 && got > INT32_MAX && strchr(text, '.'))
                got &= ~INT64_C(1);
#endif
        if (r != slow || (r == 0 && got != wanted))
                fprintf(stderr, "'%s': %d, %lld, not %d, %lld\n", text, r, (long long)got, slow, (long long)wanted);
        CLAIM(r == slow);
        CLAIM(r == 0 ? got == wanted : got == -7);
}

/* ---- addresses ---- */

static void check_address(const char *text)
{
        char host[64], port[16], again[128];
        const char *why = NULL;
        int r = text_address(text, host, sizeof(host), port, sizeof(port), &why);

        if (r < 0) {
                CLAIM(r == -EINVAL);
                CLAIM(why && *why);
                return;
        }
        CLAIM(strlen(host) < sizeof(host));
        CLAIM(strlen(port) > 0 && strlen(port) < sizeof(port));
        CLAIM(text[0] == '[' || !strchr(host, ':'));
        snprintf(again, sizeof(again), text[0] == '[' ? "[%s]:%s" : "%s:%s", host, port);
        CLAIM(strcmp(text, again) == 0);
}

/* ---- a stage: its name, its argument and its options, a line each ---- */

enum { OPTIONS_MAX = 64 };

static void check_stage(char *text)
{
        struct sluice_option options[OPTIONS_MAX];
        struct sluice_text_error e = { .part = -9 };
        struct sluice_pipeline *p;
        char *name = strsep(&text, "\n"), *argument = strsep(&text, "\n"), *line;
        size_t nr = 0;
        int r;

        if (strcmp(name, "plugin") == 0) /* code of whoever wrote the text */
                return;
        while (nr < OPTIONS_MAX && (line = strsep(&text, "\n"))) {
                char *value = strchr(line, '=');

                if (value)
                        *value++ = '\0';
                options[nr++] = (struct sluice_option){ line, value };
        }
        CLAIM(sluice_pipeline_new(&p, NULL) == 0);
        r = sluice_add_named(p, name, argument ? argument : "", options, nr, &e);
        CLAIM(sluice_pipeline_stages(p) == (r < 0 ? 0 : r + 1));
        if (r == -EINVAL) {
                CLAIM(memchr(e.message, '\0', sizeof(e.message)));
                CLAIM(e.message[0]);
                CLAIM(e.part <= (int)nr);
        }
        sluice_pipeline_free(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
        char *text = text_of(data, bytes);

        check_number(text, sluice_parse_bytes, sizes, COUNT(sizes));
        check_number(text, sluice_parse_duration, durations, COUNT(durations));
        check_address(text);
        check_stage(text);
        free(text);
        return 0;
}
