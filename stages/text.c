/* stages/text.c: see text.h. Pure. Called by the stages' add-by-name functions and by the command line's options. */
#include "text.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

int text_fail(struct sluice_text_error *e, int part, const char *format, ...)
{
        va_list args;

        e->part = part;
        va_start(args, format);
        vsnprintf(e->message, sizeof(e->message), format, args);
        va_end(args);
        return -EINVAL;
}

struct unit {
        const char *name;
        int64_t factor;
};

/* Digits, perhaps a fraction, and a unit of the table; no sign, nothing after it. Integers all the way: a double would
 * round beyond 2^53, and strtod() asks the host's locale what a point is. */
static int scaled(const char *text, const struct unit *units, size_t units_nr, int64_t *ret)
{
        size_t digits = strspn(text, "0123456789"), fraction_digits = 0;
        int64_t value = 0, fraction = 0, scale = 1;
        const char *at = text + digits;

        if (digits == 0)
                return -EINVAL;
        if (*at == '.') {
                fraction_digits = strspn(at + 1, "0123456789");
                if (fraction_digits == 0)
                        return -EINVAL;
                for (size_t i = 0; i < fraction_digits && i < 6; i++, scale *= 10)
                        fraction = fraction * 10 + (at[1 + i] - '0');
                at += 1 + fraction_digits;
        }
        for (size_t i = 0; i < units_nr; i++) {
                if (strcasecmp(at, units[i].name) != 0)
                        continue;
                for (size_t k = 0; k < digits; k++)
                        if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, text[k] - '0', &value))
                                return -ERANGE;
                if (__builtin_mul_overflow(value, units[i].factor, &value))
                        return -ERANGE;
                fraction = (units[i].factor / scale) * fraction + ((units[i].factor % scale) * fraction + scale / 2) / scale;
                if (__builtin_add_overflow(value, fraction, &value))
                        return -ERANGE;
                *ret = value;
                return 0;
        }
        return -EINVAL;
}

int sluice_parse_bytes(const char *text, int64_t *ret)
{
        const int64_t k = 1024, m = k << 10, g = m << 10, t = g << 10;
        const struct unit units[] = {
                { "", 1 },    { "b", 1 }, { "k", k },   { "kib", k }, { "m", m },
                { "mib", m }, { "g", g }, { "gib", g }, { "t", t },   { "tib", t },
        };

        return scaled(text, units, sizeof(units) / sizeof(units[0]), ret);
}

int sluice_parse_duration(const char *text, int64_t *ret)
{
        static const struct unit units[] = {
                { "", 1000 }, { "s", 1000 }, { "ms", 1 }, { "m", 60000 }, { "min", 60000 }, { "h", 3600000 }, { "d", 86400000 },
        };

        return scaled(text, units, sizeof(units) / sizeof(units[0]), ret);
}

static int read_mode(const char *text, mode_t *ret)
{
        char *end;
        unsigned long value = strtoul(text, &end, 8);

        if (!isdigit((unsigned char)text[0]) || *end || value > 07777 || value == 0)
                return -EINVAL;
        *ret = (mode_t)value;
        return 0;
}

static int read_choice(const struct text_option *o, const char *value, int *ret)
{
        for (int i = 0; o->choices[i]; i++)
                if (strcmp(o->choices[i], value) == 0) {
                        *ret = i;
                        return 0;
                }
        return -EINVAL;
}

static int choices_fail(const struct text_option *o, int part, const char *value, struct sluice_text_error *e)
{
        char list[96] = "";

        for (int i = 0; o->choices[i]; i++)
                snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s%s", i ? ", " : "", o->choices[i]);
        return text_fail(e, part, "%s= is one of %s, not '%s'", o->name, list, value);
}

static int read_value(const struct text_option *o, const struct sluice_option *given, int part, void *ret,
                      struct sluice_text_error *e)
{
        void *at = (char *)ret + o->offset;
        const char *value = given->value;

        if (o->kind == TEXT_FLAG) {
                if (value)
                        return text_fail(e, part, "%s takes no value", o->name);
                *(unsigned *)at |= o->bit;
                return 0;
        }
        if (!value || !*value)
                return text_fail(e, part, "%s= needs a value", o->name);
        switch (o->kind) {
        case TEXT_STRING:
                *(const char **)at = value;
                return 0;
        case TEXT_BYTES:
                return sluice_parse_bytes(value, at) < 0
                               ? text_fail(e, part, "%s= is a number of bytes (64k, 1.5G), not '%s'", o->name, value)
                               : 0;
        case TEXT_DURATION_MS:
                return sluice_parse_duration(value, at) < 0
                               ? text_fail(e, part, "%s= is a duration (500ms, 2s), not '%s'", o->name, value)
                               : 0;
        case TEXT_MODE:
                return read_mode(value, at) < 0 ? text_fail(e, part, "%s= is an octal mode (0640), not '%s'", o->name, value) : 0;
        default:
                return read_choice(o, value, at) < 0 ? choices_fail(o, part, value, e) : 0;
        }
}

static int unknown_option(const struct text_option *table, size_t nr, int part, const char *name, struct sluice_text_error *e)
{
        char list[120] = "";

        for (size_t i = 0; i < nr; i++)
                snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s%s", i ? ", " : "", table[i].name);
        return text_fail(e, part, nr ? "no option '%.30s' here; there are: %s" : "no option '%.30s' here%s", name, list);
}

int text_options(const struct text_option *table, size_t table_nr, const struct sluice_option *options, size_t options_nr,
                 void *ret, struct sluice_text_error *ret_error)
{
        for (size_t i = 0; i < options_nr; i++) {
                const struct text_option *o = NULL;
                int r;

                for (size_t k = 0; k < table_nr && !o; k++)
                        if (strcmp(table[k].name, options[i].name) == 0)
                                o = &table[k];
                if (!o)
                        return unknown_option(table, table_nr, (int)i + 1, options[i].name, ret_error);
                r = read_value(o, &options[i], (int)i + 1, ret, ret_error);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int read_port(const char *text, char *port, size_t cap, const char **ret_why)
{
        size_t digits = strspn(text, "0123456789"), bytes = strlen(text);

        *ret_why = "the port is missing: HOST:PORT, or :PORT to listen";
        if (bytes == 0)
                return -EINVAL;
        *ret_why = "a port is a number from 1 to 65535 or a service name";
        if (bytes >= cap || (digits == bytes && (bytes > 5 || atoi(text) < 1 || atoi(text) > 65535)))
                return -EINVAL;
        /* A service name begins with a letter (RFC 6335); getaddrinfo() itself would take " 80" and "+80" for numbers. */
        if (digits < bytes && !isalpha((unsigned char)text[0]))
                return -EINVAL;
        memcpy(port, text, bytes + 1);
        return 0;
}

int text_address(const char *text, char *host, size_t host_cap, char *port, size_t port_cap, const char **ret_why)
{
        const char *colon, *begin = text, *end;

        if (text[0] == '[') {
                begin = text + 1;
                end = strchr(begin, ']');
                *ret_why = "the ']' of the IPv6 address is missing, or no ':PORT' follows it";
                if (!end || end[1] != ':')
                        return -EINVAL;
                colon = end + 1;
        } else {
                colon = strrchr(text, ':');
                *ret_why = "the port is missing: HOST:PORT, or :PORT to listen";
                if (!colon)
                        return -EINVAL;
                end = colon;
                *ret_why = "an IPv6 address stands in brackets: [::1]:PORT";
                if (memchr(text, ':', (size_t)(end - text)))
                        return -EINVAL;
        }
        *ret_why = "the host name is too long";
        if ((size_t)(end - begin) >= host_cap)
                return -EINVAL;
        memcpy(host, begin, (size_t)(end - begin));
        host[end - begin] = '\0';
        return read_port(colon + 1, port, port_cap, ret_why);
}
