/* tests/unit/proxy.c: the header is, byte for byte, what the PROXY protocol's text says. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "unit.h"

#include "proxy.h"

static struct address v4(const char *host, unsigned port)
{
        struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
        struct address ret = { .bytes = sizeof(in) };

        assert_int_equal(inet_pton(AF_INET, host, &in.sin_addr), 1);
        memcpy(&ret.storage, &in, sizeof(in));
        return ret;
}

static struct address v6(const char *host, unsigned port)
{
        struct sockaddr_in6 in = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) };
        struct address ret = { .bytes = sizeof(in) };

        assert_int_equal(inet_pton(AF_INET6, host, &in.sin6_addr), 1);
        memcpy(&ret.storage, &in, sizeof(in));
        return ret;
}

static struct address un(const char *path)
{
        struct sockaddr_un in = { .sun_family = AF_UNIX };
        struct address ret = { .bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path) + (*path != 0)) };

        memcpy(in.sun_path, path, strlen(path));
        memcpy(&ret.storage, &in, sizeof(in));
        return ret;
}

static void is_text(struct address peer, struct address self, const char *expected)
{
        uint8_t got[PROXY_BYTES_MAX];
        size_t n = proxy_header(1, &peer, &self, got);

        assert_int_equal(n, strlen(expected));
        assert_memory_equal(got, expected, n);
}

static void version_1_is_a_line(void **state)
{
        (void)state;
        is_text(v4("192.168.0.1", 56324), v4("192.168.0.11", 443), "PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n");
        is_text(v6("2001:db8::1", 1), v6("::1", 65535), "PROXY TCP6 2001:db8::1 ::1 1 65535\r\n");
        is_text(v6("::ffff:10.0.0.1", 7), v6("::ffff:10.0.0.2", 8), "PROXY TCP4 10.0.0.1 10.0.0.2 7 8\r\n");
        is_text(un("/run/s"), un(""), "PROXY UNKNOWN\r\n");
        is_text(v4("1.2.3.4", 1), v6("::1", 2), "PROXY UNKNOWN\r\n");
        is_text((struct address){ 0 }, (struct address){ 0 }, "PROXY UNKNOWN\r\n");
}

static size_t binary(struct address peer, struct address self, uint8_t *got)
{
        static const uint8_t signature[] = "\r\n\r\n\0\r\nQUIT\n";
        size_t n = proxy_header(2, &peer, &self, got);

        assert_memory_equal(got, signature, 12);
        assert_int_equal(got[14] << 8 | got[15], n - 16);
        return n;
}

static void version_2_is_binary(void **state)
{
        static const uint8_t four[] = { 0x21, 0x11, 0, 12, 10, 0, 0, 1, 10, 0, 0, 2, 0x12, 0x34, 0, 80 };
        uint8_t got[PROXY_BYTES_MAX];

        (void)state;
        assert_int_equal(binary(v4("10.0.0.1", 0x1234), v4("10.0.0.2", 80), got), 28);
        assert_memory_equal(got + 12, four, sizeof(four));
        assert_int_equal(binary(v6("::ffff:10.0.0.1", 0x1234), v6("::ffff:10.0.0.2", 80), got), 28);
        assert_memory_equal(got + 12, four, sizeof(four));
        assert_int_equal(binary(v6("2001:db8::1", 258), v6("::1", 3), got), 16 + 36);
        assert_int_equal(got[13], 0x21);
        assert_int_equal(got[16], 0x20);
        assert_int_equal(got[16 + 31], 1);
        assert_int_equal(got[16 + 32] << 8 | got[16 + 33], 258);
}

static void unix_paths_fill_their_places(void **state)
{
        uint8_t got[PROXY_BYTES_MAX], zeros[108] = { 0 };
        char longest[108];

        (void)state;
        assert_int_equal(binary(un(""), un("/run/s"), got), PROXY_BYTES_MAX);
        assert_int_equal(got[13], 0x31);
        assert_memory_equal(got + 16, zeros, 108);
        assert_string_equal(got + 16 + 108, "/run/s");
        memset(longest, 'p', sizeof(longest) - 1);
        longest[107] = 0;
        assert_int_equal(binary(un(longest), un(longest), got), PROXY_BYTES_MAX);
        assert_string_equal(got + 16, longest);
}

static void what_is_unknown_is_local(void **state)
{
        uint8_t got[PROXY_BYTES_MAX];

        (void)state;
        assert_int_equal(binary((struct address){ 0 }, (struct address){ 0 }, got), 16);
        assert_int_equal(got[12], 0x20);
        assert_int_equal(got[13], 0);
        assert_int_equal(binary(v4("1.2.3.4", 1), v6("::1", 2), got), 16);
        assert_int_equal(got[12], 0x20);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(version_1_is_a_line),
                cmocka_unit_test(version_2_is_binary),
                cmocka_unit_test(unix_paths_fill_their_places),
                cmocka_unit_test(what_is_unknown_is_local),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
