/* tools/relay.c: `sluice relay`: connections passed on, by one thread or several. This thread has the signals and moves nothing;
 * relay_threads.c has the others. */
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "endpoint.h"
#include "relay_threads.h"
#include "tools.h"

enum { ASKED_FOR_HELP = -1, THREADS_MAX = 256, DRAIN_MS = 30000, SAY_MS = 10000 };

struct relay_options {
        struct relay_threads threads;
        unsigned connections_max;
        int64_t drain_ms;
        bool json, verbose;
        const char *listen, *target;
};

static void help(void)
{
        fputs("Usage: sluice relay [OPTIONS] LISTEN TARGET\n"
              "\n"
              "Passes connections on: for each that LISTEN takes, one is made to TARGET, and bytes go both ways\n"
              "until both have ended. What one side cuts off is cut off on the other, and never looks like an end.\n"
              "LISTEN is HOST:PORT, :PORT, [V6]:PORT, unix:PATH or fd:N (a socket that listens already);\n"
              "TARGET is HOST:PORT, [V6]:PORT or unix:PATH, whose name is looked up once.\n"
              "\n"
              "  --threads=N                 loops, each on a CPU of its own; the default is 1 for each CPU\n"
              "  --max-connections=N         at one time; the next wait until one ends. Threads share it evenly\n"
              "  --connect-timeout=DURATION  for each address of TARGET; the default is 5s\n"
              "  --idle-timeout=DURATION     reset connections in which nothing moves for so long\n"
              "  --drain-timeout=DURATION    after SIGTERM, what connections have to end; the default is 30s\n"
              "  --proxy=v1|v2               tell TARGET who is behind a connection, by the PROXY protocol\n"
              "  --prefer=path|relay-cpu     save CPU of all who have a part in it (default), or of this process\n"
              "  --driver=auto|inline|copy   splice or copy as it goes (default), always splice, always copy\n"
              "  --backend=auto|uring|epoll  as SLUICE_BACKEND\n"
              "  --json                      statistics as JSON: at the end on stdout; at SIGUSR1 too\n"
              "  -v, --verbose               say when it begins, and what becomes of connections that fail\n"
              "  -h, --help                  this text\n"
              "\n"
              "SIGTERM and SIGINT: take no more, and end when the connections have; again: reset them.\n"
              "SIGUSR1: statistics, on stderr.\n"
              "\n"
              "Exit status: 0 when all connections had come to their ends; 1 when some had to be reset at the end,\n"
              "or the listener failed; 2 usage.\n",
              stdout);
}

/* ---- options ---- */

static int duration(const char *name, const char *text, int64_t *ret)
{
        if (sluice_parse_duration(text, ret) == 0 && *ret > 0)
                return 0;
        return usage_error("relay", "%s is a duration (500ms, 2s, 1.5m), not '%s'", name, text);
}

static int number(const char *name, const char *text, unsigned max, unsigned *ret)
{
        char *end;
        unsigned long n = strtoul(text, &end, 10);

        if (text[0] < '0' || text[0] > '9' || *end || n == 0 || n > max)
                return usage_error("relay", "%s is a number from 1 to %u, not '%s'", name, max, text);
        *ret = (unsigned)n;
        return 0;
}

static int choice(const char *name, const char *text, const char *const *choices, int *ret)
{
        char known[64] = "";

        for (int i = 0; choices[i]; i++)
                if (choices[i][0] && strcmp(choices[i], text) == 0) {
                        *ret = i;
                        return 0;
                }
        for (int i = 0; choices[i]; i++)
                snprintf(known + strlen(known), sizeof(known) - strlen(known), "%s%s", known[0] && choices[i][0] ? ", " : "",
                         choices[i]);
        return usage_error("relay", "%s is one of %s, not '%s'", name, known, text);
}

enum {
        OPT_THREADS = 256,
        OPT_MAX,
        OPT_CONNECT,
        OPT_IDLE,
        OPT_DRAIN,
        OPT_PROXY,
        OPT_PREFER,
        OPT_DRIVER,
        OPT_BACKEND,
        OPT_JSON,
};

/* By the numbers of the enums; the ring's driver is not for connections. */
static const char *const drivers[] = { "auto", "inline", "", "copy", NULL };
static const char *const prefers[] = { "path", "relay-cpu", NULL };
static const char *const backends[] = { "auto", "uring", "epoll", NULL };
static const char *const proxies[] = { "", "v1", "v2", NULL };

static int read_option(struct relay_options *o, int c, const char *value)
{
        struct sluice_relay_options *relay = &o->threads.options;
        int n = 0, r;

        switch (c) {
        case OPT_THREADS:
                return number("--threads=", value, THREADS_MAX, &o->threads.nr);
        case OPT_MAX:
                return number("--max-connections=", value, 1u << 30, &o->connections_max);
        case OPT_CONNECT:
                return duration("--connect-timeout=", value, &relay->connect_timeout_ms);
        case OPT_IDLE:
                return duration("--idle-timeout=", value, &relay->idle_timeout_ms);
        case OPT_DRAIN:
                return duration("--drain-timeout=", value, &o->drain_ms);
        case OPT_PROXY:
                r = choice("--proxy=", value, proxies, &n);
                relay->proxy_version = (unsigned)n;
                return r;
        case OPT_PREFER:
                r = choice("--prefer=", value, prefers, &n);
                relay->prefer = (enum sluice_prefer)n;
                return r;
        case OPT_DRIVER:
                r = choice("--driver=", value, drivers, &n);
                relay->driver = (enum sluice_driver)n;
                return r;
        case OPT_BACKEND:
                r = choice("--backend=", value, backends, &n);
                o->threads.backend = (enum sluice_backend)n;
                return r;
        case OPT_JSON:
                o->json = true;
                return 0;
        case 'v':
                o->verbose = true;
                return 0;
        default:
                return 0;
        }
}

static int read_options(int argc, char **argv, struct relay_options *o)
{
        static const struct option table[] = {
                { "threads", required_argument, NULL, OPT_THREADS },
                { "max-connections", required_argument, NULL, OPT_MAX },
                { "connect-timeout", required_argument, NULL, OPT_CONNECT },
                { "idle-timeout", required_argument, NULL, OPT_IDLE },
                { "drain-timeout", required_argument, NULL, OPT_DRAIN },
                { "proxy", required_argument, NULL, OPT_PROXY },
                { "prefer", required_argument, NULL, OPT_PREFER },
                { "driver", required_argument, NULL, OPT_DRIVER },
                { "backend", required_argument, NULL, OPT_BACKEND },
                { "json", no_argument, NULL, OPT_JSON },
                { "verbose", no_argument, NULL, 'v' },
                { "help", no_argument, NULL, 'h' },
                { 0 },
        };
        const char *backend = getenv("SLUICE_BACKEND");
        int c, r = 0;

        if (backend && *backend)
                r = read_option(o, OPT_BACKEND, backend);
        opterr = 0;
        while (r == 0 && (c = getopt_long(argc, argv, ":hv", table, NULL)) != -1) {
                if (c == 'h') {
                        help();
                        return ASKED_FOR_HELP;
                }
                if (c == ':')
                        r = usage_error("relay", "option '%s' needs a value", argv[optind - 1]);
                else if (c == '?')
                        r = usage_error("relay", "no option '%s'", argv[optind - 1]);
                else
                        r = read_option(o, c, optarg);
        }
        if (r)
                return r;
        if (argc - optind != 2)
                return usage_error("relay", "two addresses are needed: sluice relay [OPTIONS] LISTEN TARGET");
        o->listen = argv[optind];
        o->target = argv[optind + 1];
        return 0;
}

/* ---- what it says ---- */

static int64_t now_ms(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return t.tv_sec * INT64_C(1000) + t.tv_nsec / 1000000;
}

/* Short of something, it is so ten times a second: said once in a while. Any thread. */
static bool is_time_to_say(void)
{
        static atomic_llong last_ms = -SAY_MS;
        long long now = now_ms(), last = atomic_load(&last_ms);

        return now - last >= SAY_MS && atomic_compare_exchange_strong(&last_ms, &last, now);
}

static void told(void *arg, enum sluice_relay_event_kind kind, int error)
{
        static const char *const what[] = { [SLUICE_RELAY_CONNECT_FAILED] = "a connection to the target could not be made",
                                            [SLUICE_RELAY_RESET] = "a connection was cut off",
                                            [SLUICE_RELAY_IDLE] = "a connection was idle for too long",
                                            [SLUICE_RELAY_PAUSED] = "no connection is taken for now" };
        const struct relay_options *o = arg;

        if (kind == SLUICE_RELAY_PAUSED && !is_time_to_say())
                return;
        if (kind == SLUICE_RELAY_PAUSED && error == -EMFILE)
                fprintf(stderr, "sluice: relay: %s: %s: raise ulimit -n, or set --max-connections\n", what[kind], strerror(-error));
        else if (o->verbose || kind == SLUICE_RELAY_PAUSED)
                fprintf(stderr, "sluice: relay: %s: %s\n", what[kind], strerror(-error));
}

static void say_text(const struct sluice_relay_stats *s)
{
        char up[32], down[32], spliced[32], copied[32];

        size_text(s->bytes_up, up, sizeof(up));
        size_text(s->bytes_down, down, sizeof(down));
        size_text(s->bytes_spliced, spliced, sizeof(spliced));
        size_text(s->bytes_copied, copied, sizeof(copied));
        fprintf(stderr,
                "sluice: relay: %llu connections now, %llu at most, %llu in all; %llu not made, %llu cut off, %llu idle;\n"
                "sluice: relay: %s up, %s down; %s spliced, %s copied, %llu changes of way, %llu calls\n",
                (unsigned long long)s->active, (unsigned long long)s->active_peak, (unsigned long long)s->accepted,
                (unsigned long long)s->connect_failed, (unsigned long long)s->reset, (unsigned long long)s->idle, up, down, spliced,
                copied, (unsigned long long)s->driver_changes, (unsigned long long)s->calls);
}

static json_t *counter(uint64_t value)
{
        return json_integer((json_int_t)value);
}

static void say_json(FILE *out, const struct relay_options *o, const struct sluice_relay_stats *s)
{
        json_t *j =
                json_pack("{s:s,s:s,s:i,s:{s:o,s:o,s:o,s:o,s:o,s:o,s:o},s:{s:o,s:o,s:o,s:o},s:o,s:o}", "listen", o->listen,
                          "target", o->target, "threads", (int)o->threads.nr, "connections", "active", counter(s->active), "peak",
                          counter(s->active_peak), "accepted", counter(s->accepted), "connect_failed", counter(s->connect_failed),
                          "reset", counter(s->reset), "idle", counter(s->idle), "paused", counter(s->paused), "bytes", "up",
                          counter(s->bytes_up), "down", counter(s->bytes_down), "spliced", counter(s->bytes_spliced), "copied",
                          counter(s->bytes_copied), "driver_changes", counter(s->driver_changes), "calls", counter(s->calls));

        if (!j)
                return;
        json_dumpf(j, out, JSON_COMPACT | JSON_PRESERVE_ORDER);
        fputc('\n', out);
        fflush(out);
        json_decref(j);
}

static void say_statistics(struct relay_options *o)
{
        struct sluice_relay_stats s = relay_threads_stats(&o->threads);

        if (o->json)
                say_json(stderr, o, &s);
        else
                say_text(&s);
}

/* ---- the signals ---- */

static void block(sigset_t *set)
{
        sigset_t loops;

        sigemptyset(set);
        sigaddset(set, SIGTERM);
        sigaddset(set, SIGINT);
        sigaddset(set, SIGUSR1);
        sigaddset(set, SIGUSR2); /* a thread has ended */
        pthread_sigmask(SIG_BLOCK, set, NULL);
        sigemptyset(&loops);
        sigaddset(&loops, SIGPIPE);
        sigaddset(&loops, SIGXFSZ);
        pthread_sigmask(SIG_BLOCK, &loops, NULL); /* so that no turn of a loop has to */
}

/* 0: the time is over. */
static int next_signal(const sigset_t *set, int64_t until_ms)
{
        int64_t left = until_ms < 0 ? 0 : until_ms - now_ms();
        struct timespec t = { .tv_sec = left > 0 ? left / 1000 : 0, .tv_nsec = left > 0 ? left % 1000 * 1000000 : 0 };
        int signal;

        do
                signal = until_ms < 0 ? sigwaitinfo(set, NULL) : sigtimedwait(set, NULL, &t);
        while (signal < 0 && errno == EINTR);
        return signal < 0 ? 0 : signal;
}

/*  serving --SIGTERM, SIGINT--> draining --again, or the time is over--> resetting
 *      |                            |                                       |
 *      +--- no thread is left: over +---------------------------------------+ */
static bool serve(struct relay_options *o, const sigset_t *set)
{
        enum { SERVING, DRAINING, RESETTING } state = SERVING;
        bool cut = false;
        int64_t until = -1;

        while (relay_threads_running(&o->threads)) {
                int signal = next_signal(set, until);

                if (signal == SIGUSR1) {
                        say_statistics(o);
                } else if (signal == SIGUSR2 || state == RESETTING) {
                        continue;
                } else if (state == SERVING) {
                        state = DRAINING;
                        until = o->drain_ms < INT64_MAX - now_ms() ? now_ms() + o->drain_ms : INT64_MAX;
                        relay_threads_drain(&o->threads);
                } else {
                        state = RESETTING;
                        until = -1;
                        cut = relay_threads_stats(&o->threads).active > 0;
                        relay_threads_cancel(&o->threads);
                }
        }
        return cut;
}

/* ---- all of it ---- */

static unsigned cpus_nr(void)
{
        cpu_set_t mine;

        return sched_getaffinity(0, sizeof(mine), &mine) == 0 ? (unsigned)CPU_COUNT(&mine) : 1;
}

/* A connection is two descriptors, and the soft limit is for programs that use select(). */
static void raise_descriptors(void)
{
        struct rlimit l;

        if (getrlimit(RLIMIT_NOFILE, &l) < 0 || l.rlim_cur == l.rlim_max)
                return;
        l.rlim_cur = l.rlim_max;
        setrlimit(RLIMIT_NOFILE, &l);
}

static int fail(const char *what)
{
        fprintf(stderr, "sluice: relay: %s\n", what);
        return EXIT_STAGE;
}

static int relay(struct relay_options *o, struct endpoint_listener *listener, const sigset_t *set)
{
        struct sluice_relay_stats total;
        bool cut;
        int r = relay_threads_start(&o->threads);

        endpoint_release(listener); /* each thread has its own: so that none is left when they take no more */
        if (r < 0)
                return fail(strerror(-r));
        if (o->verbose)
                fprintf(stderr, "sluice: relay: %s to %s, %u thread%s\n", listener->name, o->target, o->threads.nr,
                        o->threads.nr == 1 ? "" : "s");
        cut = serve(o, set);
        total = relay_threads_stats(&o->threads);
        r = relay_threads_join(&o->threads);
        if (o->json)
                say_json(stdout, o, &total);
        else if (o->verbose)
                say_text(&total);
        if (r < 0)
                return fail(strerror(-r));
        return cut ? fail("connections that had not come to their ends were reset") : EXIT_OK;
}

static int listen_and_relay(struct relay_options *o, const sigset_t *set)
{
        struct sluice_address *targets = NULL;
        struct endpoint_listener listener;
        char why[ENDPOINT_WHY_BYTES];
        int r = endpoint_addresses(o->target, &targets, why);

        if (r < 0)
                return r == -EINVAL ? usage_error("relay", "%s", why) : fail(why);
        o->threads.options.targets = targets;
        o->threads.options.targets_nr = (size_t)r;
        r = endpoint_listen(o->listen, o->threads.nr, &listener, why);
        if (r < 0) {
                free(targets);
                return r == -EINVAL ? usage_error("relay", "%s", why) : fail(why);
        }
        o->threads.listeners = listener.fds;
        r = relay(o, &listener, set);
        endpoint_close(&listener);
        free(targets);
        return r;
}

int relay_main(int argc, char **argv)
{
        struct relay_options o = { .drain_ms = DRAIN_MS,
                                   .threads = { .nr = cpus_nr(),
                                                .options = { .size = sizeof(o.threads.options), .event = told } } };
        sigset_t set;
        int r = read_options(argc, argv, &o);

        if (r)
                return r == ASKED_FOR_HELP ? EXIT_OK : r;
        if (o.threads.nr > THREADS_MAX)
                o.threads.nr = THREADS_MAX;
        if (o.connections_max && o.threads.nr > o.connections_max)
                o.threads.nr = o.connections_max;
        o.threads.options.event_arg = &o;
        o.threads.options.connections_max = o.connections_max;
        o.threads.bind = o.threads.nr > 1;
        block(&set);
        raise_descriptors();
        return listen_and_relay(&o, &set);
}
