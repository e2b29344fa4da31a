/* bench/load_options.c: the command line of sluice-bench-load: a mode and its options. Calls load_net.c for addresses. */
#include "load.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct mode {
        const char *name;
        uint32_t connections, idle;
        size_t size_bytes;
        const char *amount; /* the option that says it */
} modes[] = {
        [LOAD_BULK] = { "bulk", 1, 0, 0, "bytes" },
        [LOAD_MESSAGES] = { "messages", 1, 0, 64, "messages" },
        [LOAD_IDLE] = { "idle", 100, 9000, 4096, "messages" },
        [LOAD_CHURN] = { "churn", 64, 0, 64, "messages" },
};

enum { MODES_NR = sizeof(modes) / sizeof(modes[0]), CHURN_SOURCES = 8 };

const char *options_mode_name(enum load_mode mode)
{
        return modes[mode].name;
}

static void help(void)
{
        puts("usage: sluice-bench-load bulk|messages|idle|churn [OPTION...]\n"
             "Loads a TCP relay from both its ends and checks what comes through; without a relay, the same between the ends "
             "alone.\n"
             "\n"
             "  bulk      clients send as much as goes; the sink reads, discards and counts\n"
             "  messages  each connection sends a message, waits for its echo, and sends the next\n"
             "  idle      messages on some connections beside many that say nothing, and that all answer at the end\n"
             "  churn     a connection, one message, its echo, the end of both ends; and the next\n"
             "\n"
             "  --connect=ADDR:PORT  where the relay listens; default: where the sink does, so no relay\n"
             "  --listen=ADDR:PORT   where the sink listens, the relay's target; default 127.0.0.1:0, a free port\n"
             "  --connections=N      at a time (bulk 1, messages 1, idle 100, churn 64)\n"
             "  --idle=N             those that say nothing, mode idle only (9000)\n"
             "  --bytes=N            in all, then the end; bulk only (K, M, G: binary)\n"
             "  --messages=N         in all, then the end; in churn connections; not in bulk\n"
             "  --seconds=N          or so long (5)\n"
             "  --size=N             bytes of a message (messages 64, idle 4096, churn 64)\n"
             "  --threads=N          of each end (1)\n"
             "  --sources=N          addresses to connect from, 127.0.0.1 and on, to loopback only (1; churn 8)\n"
             "  --verify             bulk: every byte, not only how many (messages always are)\n"
             "  --pid=PID            a process of the relay: counts it and all below it; may be given again\n"
             "  --relay              counts the processes that listen at --connect, and all below them\n"
             "  --wait=N             seconds that the relay may take to listen (0)\n"
             "  --stall=N            seconds without any movement after which the rest has failed (30)\n"
             "  --json               the result as JSON\n"
             "  --help\n"
             "\n"
             "Exit status: 0 all went through; 1 a connection failed, or bytes are missing or wrong; 2 usage.");
}

__attribute__((format(printf, 1, 2))) static int usage(const char *format, ...)
{
        va_list words;

        va_start(words, format);
        fputs("sluice-bench-load: ", stderr);
        vfprintf(stderr, format, words);
        fputs("; see sluice-bench-load --help\n", stderr);
        va_end(words);
        return -EINVAL;
}

/* A whole number from `least` to `most`, with K, M or G where `units`. */
static int number(const char *option, const char *text, uint64_t least, uint64_t most, bool units, uint64_t *ret)
{
        const char *suffixes = "KMG", *suffix;
        unsigned shift = 0;
        char *end;

        errno = 0;
        *ret = strtoull(text, &end, 10);
        if (units && *end && (suffix = strchr(suffixes, *end))) {
                shift = 10 * (unsigned)(suffix - suffixes + 1);
                end++;
        }
        if (errno || *end || end == text || *text == '-' || *ret > most >> shift || *ret << shift < least)
                return usage("--%s=%s: a number from %llu to %llu is wanted", option, text, (unsigned long long)least,
                             (unsigned long long)most);
        *ret <<= shift;
        return 0;
}

static int seconds(const char *option, const char *text, double *ret)
{
        char *end;

        *ret = strtod(text, &end);
        if (*end || end == text || !(*ret >= 0 && *ret <= 1e6))
                return usage("--%s=%s: seconds are wanted", option, text);
        return 0;
}

static int address(const char *option, const char *text, struct load_address *ret)
{
        if (!net_address(text, ret))
                return 0;
        return usage("--%s=%s: an address is ADDR:PORT", option, text);
}

static int pid_add(struct load_options *o, const char *text)
{
        uint64_t n;
        int error = number("pid", text, 1, INT32_MAX, false, &n);

        if (error)
                return error;
        if (o->pids_nr == LOAD_PIDS_MAX)
                return usage("--pid: no more than %d", LOAD_PIDS_MAX);
        o->pids[o->pids_nr++] = (pid_t)n;
        return 0;
}

enum option_code {
        OPTION_CONNECT = 256,
        OPTION_LISTEN,
        OPTION_CONNECTIONS,
        OPTION_IDLE,
        OPTION_BYTES,
        OPTION_MESSAGES,
        OPTION_SECONDS,
        OPTION_SIZE,
        OPTION_THREADS,
        OPTION_SOURCES,
        OPTION_VERIFY,
        OPTION_PID,
        OPTION_RELAY,
        OPTION_WAIT,
        OPTION_STALL,
        OPTION_JSON,
        OPTION_HELP,
};

static const struct option table[] = {
        { "connect", required_argument, NULL, OPTION_CONNECT },
        { "listen", required_argument, NULL, OPTION_LISTEN },
        { "connections", required_argument, NULL, OPTION_CONNECTIONS },
        { "idle", required_argument, NULL, OPTION_IDLE },
        { "bytes", required_argument, NULL, OPTION_BYTES },
        { "messages", required_argument, NULL, OPTION_MESSAGES },
        { "seconds", required_argument, NULL, OPTION_SECONDS },
        { "size", required_argument, NULL, OPTION_SIZE },
        { "threads", required_argument, NULL, OPTION_THREADS },
        { "sources", required_argument, NULL, OPTION_SOURCES },
        { "verify", no_argument, NULL, OPTION_VERIFY },
        { "pid", required_argument, NULL, OPTION_PID },
        { "relay", no_argument, NULL, OPTION_RELAY },
        { "wait", required_argument, NULL, OPTION_WAIT },
        { "stall", required_argument, NULL, OPTION_STALL },
        { "json", no_argument, NULL, OPTION_JSON },
        { "help", no_argument, NULL, OPTION_HELP },
        { 0 },
};

/* What the options said, and what only some modes have. */
struct given {
        bool listen, connect, seconds, bytes, messages, idle, size;
};

static int count(const char *option, const char *text, uint64_t least, uint64_t most, uint32_t *ret)
{
        uint64_t n;
        int error = number(option, text, least, most, false, &n);

        if (!error)
                *ret = (uint32_t)n;
        return error;
}

static int option_take(struct load_options *o, struct given *g, int code, const char *name, const char *text)
{
        uint64_t n = 0;
        int error = 0;

        switch ((enum option_code)code) {
        case OPTION_CONNECT:
                g->connect = true;
                return address(name, text, &o->connect);
        case OPTION_LISTEN:
                g->listen = true;
                return address(name, text, &o->listen);
        case OPTION_CONNECTIONS:
                return count(name, text, 1, 1000000, &o->connections);
        case OPTION_IDLE:
                g->idle = true;
                return count(name, text, 0, 1000000, &o->idle);
        case OPTION_BYTES:
                g->bytes = true;
                return number(name, text, 1, INT64_MAX, true, &o->amount);
        case OPTION_MESSAGES:
                g->messages = true;
                return number(name, text, 1, INT64_MAX, false, &o->amount);
        case OPTION_SECONDS:
                g->seconds = true;
                return seconds(name, text, &o->seconds);
        case OPTION_SIZE:
                g->size = true;
                error = number(name, text, 1, 64 << 20, true, &n);
                o->size_bytes = (size_t)n;
                return error;
        case OPTION_THREADS:
                return count(name, text, 1, LOAD_THREADS_MAX, &o->threads);
        case OPTION_SOURCES:
                return count(name, text, 1, LOAD_SOURCES_MAX, &o->sources);
        case OPTION_VERIFY:
                o->verify = true;
                return 0;
        case OPTION_PID:
                return pid_add(o, text);
        case OPTION_RELAY:
                o->find = true;
                return 0;
        case OPTION_WAIT:
                return seconds(name, text, &o->wait_s);
        case OPTION_STALL:
                return seconds(name, text, &o->stall_s);
        case OPTION_JSON:
                o->json = true;
                return 0;
        case OPTION_HELP:
                help();
                return 1;
        }
        return -EINVAL;
}

static int check(struct load_options *o, const struct given *g)
{
        if (o->mode == LOAD_BULK ? g->messages || g->size : g->bytes)
                return usage("%s goes by --%s", modes[o->mode].name, modes[o->mode].amount);
        if (g->idle && o->mode != LOAD_IDLE)
                return usage("--idle is for the mode idle");
        if (o->verify && o->mode != LOAD_BULK)
                return usage("--verify is for bulk: messages are always compared");
        if (g->seconds && o->amount)
                return usage("--%s and --seconds exclude each other", modes[o->mode].amount);
        if (g->connect && !g->listen)
                return usage("--connect is of a relay, which needs to know where the sink is: give --listen as well");
        if (o->find && o->direct)
                return usage("--relay: there is none without --connect");
        if (o->stall_s <= 0)
                return usage("--stall: more than 0 s");
        if (o->threads > o->connections)
                return usage("--threads=%u: more than --connections=%u", o->threads, o->connections);
        return 0;
}

static int mode_find(const char *name, struct load_options *o)
{
        for (size_t i = 0; i < MODES_NR; i++) {
                if (strcmp(modes[i].name, name) != 0)
                        continue;
                o->mode = (enum load_mode)i;
                o->connections = modes[i].connections;
                o->idle = modes[i].idle;
                o->size_bytes = modes[i].size_bytes;
                o->sources = i == LOAD_CHURN ? CHURN_SOURCES : 1;
                return 0;
        }
        return usage("%s is no mode", name);
}

int options_parse(int argc, char **argv, struct load_options *ret)
{
        struct given given = { 0 };
        int code, index, error;

        *ret = (struct load_options){ .seconds = 5, .threads = 1, .stall_s = 30 };
        if (argc > 1 && !strcmp(argv[1], "--help")) {
                help();
                return 1;
        }
        if (argc < 2)
                return usage("a mode is wanted");
        error = mode_find(argv[1], ret);
        if (error)
                return error;
        opterr = 0;
        while ((code = getopt_long(argc - 1, argv + 1, "", table, &index)) != -1) {
                if (code == '?' || code == ':')
                        return usage("%s is no option, or lacks its value", argv[1 + optind - 1]);
                error = option_take(ret, &given, code, table[index].name, optarg);
                if (error)
                        return error;
        }
        if (optind < argc - 1)
                return usage("%s is too much", argv[1 + optind]);
        if (!given.listen)
                net_address("127.0.0.1:0", &ret->listen);
        ret->direct = !given.connect || !strcmp(ret->connect.text, ret->listen.text);
        return check(ret, &given);
}
