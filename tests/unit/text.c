/* tests/unit/text.c: sizes, durations, addresses and options as text, the hostile ones included. */
#include "unit.h"

#include <errno.h>
#include <sys/stat.h>

#include "text.h"

struct number_case {
        const char *text;
        int result;
        int64_t value;
};

static void check_numbers(int (*parse)(const char *, int64_t *), const struct number_case *c, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                int64_t value = -77;
                int r = parse(c[i].text, &value);

                if (r != c[i].result)
                        fail_msg("'%s': %d, not %d", c[i].text, r, c[i].result);
                if (r == 0 && value != c[i].value)
                        fail_msg("'%s' is %lld, not %lld", c[i].text, (long long)value, (long long)c[i].value);
        }
}

static void bytes_are_read(void **state)
{
        static const struct number_case cases[] = {
                { "0", 0, 0 },
                { "4096", 0, 4096 },
                { "1b", 0, 1 },
                { "64k", 0, 65536 },
                { "64K", 0, 65536 },
                { "64KiB", 0, 65536 },
                { "1.5G", 0, 1610612736 },
                { "1m", 0, 1 << 20 },
                { "2mib", 0, 2 << 20 },
                { "1t", 0, 1LL << 40 },
                { "0.5k", 0, 512 },
                { "007", 0, 7 },
                { "9007199254740993", 0, 9007199254740993 },
                { "9223372036854775807", 0, INT64_MAX },
                { "9223372036854775808", -ERANGE, 0 },
                { "99999999999999999999999", -ERANGE, 0 },
                { "9000000t", -ERANGE, 0 },
                { "1e400", -EINVAL, 0 },
        };

        (void)state;
        check_numbers(sluice_parse_bytes, cases, COUNT(cases));
}

static void what_is_not_a_size_is_refused(void **state)
{
        static const char *const bad[] = {
                "",    " ",   "k",        "-1",  "+1",    " 1",   "1 ",   "1 k",  "1kk",           "1x", "0x10", "0X1p4", "00x10",
                "nan", "inf", "infinity", ".5k", "1..5k", "1,5k", "1k\n", "\xff", "1\xe2\x82\xac", "--", "1-2",
        };

        (void)state;
        for (size_t i = 0; i < COUNT(bad); i++) {
                int64_t value = -77;

                if (sluice_parse_bytes(bad[i], &value) != -EINVAL)
                        fail_msg("'%s' was taken for %lld bytes", bad[i], (long long)value);
                assert_int_equal(value, -77);
                if (sluice_parse_duration(bad[i], &value) != -EINVAL)
                        fail_msg("'%s' was taken for %lld ms", bad[i], (long long)value);
        }
}

/* A call that fails has written no result. */
static void a_size_too_large_is_not_written(void **state)
{
        int64_t value = -77;

        (void)state;
        assert_int_equal(sluice_parse_bytes("9223372036854775808", &value), -ERANGE);
        assert_int_equal(value, -77);
        assert_int_equal(sluice_parse_bytes("99999999t", &value), -ERANGE);
        assert_int_equal(value, -77);
}

static void durations_are_read(void **state)
{
        static const struct number_case cases[] = {
                { "0", 0, 0 },        { "2", 0, 2000 },     { "2s", 0, 2000 },    { "500ms", 0, 500 },
                { "1.5m", 0, 90000 }, { "1min", 0, 60000 }, { "1h", 0, 3600000 }, { "1d", 0, 86400000 },
                { "0.5", 0, 500 },    { "1H", 0, 3600000 }, { "1.25s", 0, 1250 }, { "1e30d", -EINVAL, 0 },
        };

        (void)state;
        check_numbers(sluice_parse_duration, cases, COUNT(cases));
}

/* Decimal fractions that binary ones only come close to. */
static void a_duration_is_not_a_millisecond_short(void **state)
{
        static const struct number_case cases[] = {
                { "1.001", 0, 1001 }, { "1.001s", 0, 1001 }, { "4.035", 0, 4035 }, { "0.003", 0, 3 }
        };

        (void)state;
        check_numbers(sluice_parse_duration, cases, COUNT(cases));
}

static int address(const char *text, char *host, char *port)
{
        const char *why = NULL;
        int r = text_address(text, host, 16, port, 16, &why);

        if (r < 0)
                assert_true(why && *why);
        return r;
}

static void addresses_are_read(void **state)
{
        static const struct {
                const char *text, *host, *port;
        } good[] = {
                { "host:80", "host", "80" },
                { "127.0.0.1:9000", "127.0.0.1", "9000" },
                { ":80", "", "80" },
                { "[::1]:80", "::1", "80" },
                { "[fe80::1%eth0]:1", "fe80::1%eth0", "1" },
                { "h:http", "h", "http" },
                { "h:65535", "h", "65535" },
                { "h:1", "h", "1" },
                { "h:x11-1", "h", "x11-1" },
                { "123456789012345:1", "123456789012345", "1" },
        };
        char host[16], port[16];

        (void)state;
        for (size_t i = 0; i < COUNT(good); i++) {
                if (address(good[i].text, host, port) != 0)
                        fail_msg("'%s' was refused", good[i].text);
                assert_string_equal(host, good[i].host);
                assert_string_equal(port, good[i].port);
        }
}

static void what_is_not_an_address_is_refused(void **state)
{
        static const char *const bad[] = {
                "",
                "host",
                ":",
                "host:",
                "host:0",
                "host:00",
                "host:65536",
                "host:99999999999999999999",
                "host:80x",
                "::1:80",
                "::1",
                "a:b:80",
                "[::1]",
                "[::1]80",
                "[::1:80",
                "[",
                "[]",
                "]:80:",
                "1234567890123456:1",
                "h:1234567890123456",
                "[::1]:",
                "[::1]x:80",
        };
        char host[16], port[16];

        (void)state;
        for (size_t i = 0; i < COUNT(bad); i++)
                if (address(bad[i], host, port) == 0)
                        fail_msg("'%s' was taken for host '%s', port '%s'", bad[i], host, port);
}

/* Neither a number as said nor a name of any service; getaddrinfo() takes " 80" and "+80" for port 80. */
static void a_port_is_not_a_number_in_disguise(void **state)
{
        static const char *const bad[] = { "h:-1", "h:+80", "h: 80", "h:\t80", "h:-65456" };
        char host[16], port[16];

        (void)state;
        for (size_t i = 0; i < COUNT(bad); i++)
                if (address(bad[i], host, port) == 0)
                        fail_msg("'%s' was taken for port '%s'", bad[i], port);
}

struct options {
        unsigned flags;
        int64_t bytes, ms;
        mode_t mode;
        int choice;
};

static const char *const colours[] = { "red", "green", NULL };
static const struct text_option table[] = {
        { .name = "quiet", .kind = TEXT_FLAG, .offset = offsetof(struct options, flags), .bit = 1 },
        { .name = "loud", .kind = TEXT_FLAG, .offset = offsetof(struct options, flags), .bit = 4 },
        { .name = "size", .kind = TEXT_BYTES, .offset = offsetof(struct options, bytes) },
        { .name = "wait", .kind = TEXT_DURATION_MS, .offset = offsetof(struct options, ms) },
        { .name = "mode", .kind = TEXT_MODE, .offset = offsetof(struct options, mode) },
        { .name = "colour", .kind = TEXT_CHOICE, .offset = offsetof(struct options, choice), .choices = colours },
};

static void options_go_where_the_table_says(void **state)
{
        const struct sluice_option given[] = {
                { "quiet", NULL }, { "loud", NULL }, { "size", "2k" }, { "wait", "3s" }, { "mode", "0640" }, { "colour", "green" },
        };
        struct options o = { 0 };
        struct sluice_text_error e;

        (void)state;
        assert_int_equal(text_options(table, COUNT(table), given, COUNT(given), &o, &e), 0);
        assert_int_equal(o.flags, 5);
        assert_int_equal(o.bytes, 2048);
        assert_int_equal(o.ms, 3000);
        assert_int_equal(o.mode, 0640);
        assert_int_equal(o.choice, 1);
}

static void a_bad_option_is_named_by_its_place(void **state)
{
        static const struct sluice_option bad[] = {
                { "quiet", "1" },    { "size", NULL },  { "size", "" },   { "size", "much" },   { "wait", "-1" },
                { "mode", "0" },     { "mode", "9" },   { "mode", "-1" }, { "mode", "010000" }, { "mode", "+7" },
                { "colour", "Red" }, { "shape", NULL }, { "", NULL },     { "siz", "1" },       { "sizes", "1" },
        };

        (void)state;
        for (size_t i = 0; i < COUNT(bad); i++) {
                const struct sluice_option given[] = { { "loud", NULL }, bad[i] };
                struct sluice_text_error e = { .part = -9 };
                struct options o = { 0 };

                if (text_options(table, COUNT(table), given, 2, &o, &e) != -EINVAL)
                        fail_msg("%s=%s was taken", bad[i].name, bad[i].value ? bad[i].value : "");
                assert_int_equal(e.part, 2);
                assert_true(e.message[0]);
        }
}

static void a_message_never_outgrows_its_place(void **state)
{
        char long_text[4096];
        struct sluice_text_error e;
        struct options o = { 0 };
        const struct sluice_option given[] = { { long_text, NULL }, { "size", long_text }, { "colour", long_text } };

        (void)state;
        memset(long_text, 'x', sizeof(long_text) - 1);
        long_text[sizeof(long_text) - 1] = '\0';
        for (size_t i = 0; i < COUNT(given); i++) {
                assert_int_equal(text_options(table, COUNT(table), &given[i], 1, &o, &e), -EINVAL);
                assert_in_range(strlen(e.message), 1, sizeof(e.message) - 1);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(bytes_are_read),
                cmocka_unit_test(what_is_not_a_size_is_refused),
                cmocka_unit_test(a_size_too_large_is_not_written),
                cmocka_unit_test(durations_are_read),
                cmocka_unit_test(a_duration_is_not_a_millisecond_short),
                cmocka_unit_test(addresses_are_read),
                cmocka_unit_test(what_is_not_an_address_is_refused),
                cmocka_unit_test(a_port_is_not_a_number_in_disguise),
                cmocka_unit_test(options_go_where_the_table_says),
                cmocka_unit_test(a_bad_option_is_named_by_its_place),
                cmocka_unit_test(a_message_never_outgrows_its_place),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
