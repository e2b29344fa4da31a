/* bench/load.c: sluice-bench-load from the first connection to the last figure: starts both ends, measures between their
 * meetings, compares what one sent with what the other got. Its thread does nothing meanwhile but look, ten times a second,
 * whether anything still moves, and twice what memory the relay holds: reading that costs, and is no end's work. */
#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LOOK_MS = 100, LOOKS_A_RELAY = 5, FILES_SPARE = 64, EXIT_FAILED = 1, EXIT_USAGE = 2 };

struct run {
        struct load load;
        struct sink *sink;
        struct client *clients;
        struct load_result result;
        uint64_t progress;
        int64_t moved_ns; /* when it was last seen to move */
        unsigned looks;
};

static void failed(struct load_result *r, const char *what)
{
        if (!r->error[0])
                snprintf(r->error, sizeof(r->error), "%s", what);
}

static int tell(const char *what, int error)
{
        fprintf(stderr, "sluice-bench-load: %s: %s\n", what, strerror(-error));
        return EXIT_FAILED;
}

/* ---- looking on ---- */

static uint64_t greater(uint64_t a, uint64_t b)
{
        return a > b ? a : b;
}

static void relay_look(struct run *run, struct usage_relay *ret)
{
        const struct load_options *o = &run->load.options;
        struct usage_relay *peak = &run->result.relay_peak;

        if (!o->pids_nr)
                return;
        if (usage_relay_read(o->pids, o->pids_nr, ret))
                run->result.relay_gone = true;
        peak->processes = (unsigned)greater(peak->processes, ret->processes);
        peak->threads = (unsigned)greater(peak->threads, ret->threads);
        peak->rss_kib = greater(peak->rss_kib, ret->rss_kib);
        peak->rss_most_kib = greater(peak->rss_most_kib, ret->rss_most_kib);
        peak->pss_kib = greater(peak->pss_kib, ret->pss_kib);
}

static void look(struct run *run)
{
        uint64_t progress = clients_progress(run->clients, run->load.options.threads);
        int64_t now_ns = clock_ns();
        struct usage_relay relay;

        if (run->looks++ % LOOKS_A_RELAY == 0)
                relay_look(run, &relay);
        if (progress != run->progress)
                run->moved_ns = now_ns;
        run->progress = progress;
        if ((double)(now_ns - run->moved_ns) > run->load.options.stall_s * 1e9 || run->result.relay_gone)
                atomic_store(&run->load.stop, true);
}

/* Until every thread is at the meeting; they stay there. */
static void meeting_wait(struct run *run)
{
        struct load_meeting *m = &run->load.meeting;
        struct timespec until;

        run->moved_ns = clock_ns();
        pthread_mutex_lock(&m->lock);
        while (m->arrived < run->load.options.threads) {
                clock_gettime(CLOCK_MONOTONIC, &until);
                until.tv_nsec += LOOK_MS * 1000000L;
                until.tv_sec += until.tv_nsec / 1000000000;
                until.tv_nsec %= 1000000000;
                if (pthread_cond_timedwait(&m->changed, &m->lock, &until) != ETIMEDOUT)
                        continue;
                pthread_mutex_unlock(&m->lock);
                look(run);
                pthread_mutex_lock(&m->lock);
        }
        pthread_mutex_unlock(&m->lock);
}

static void meeting_go_on(struct load_meeting *m)
{
        pthread_mutex_lock(&m->lock);
        m->arrived = 0;
        m->round++;
        pthread_cond_broadcast(&m->changed);
        pthread_mutex_unlock(&m->lock);
}

static void meeting_init(struct load_meeting *m)
{
        pthread_condattr_t attr;

        pthread_condattr_init(&attr);
        pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
        pthread_mutex_init(&m->lock, NULL);
        pthread_cond_init(&m->changed, &attr);
        pthread_condattr_destroy(&attr);
}

/* ---- the measured part ---- */

static void ends_read(struct run *run, struct usage_ends *ret)
{
        usage_ends_read(ret);
        ret->clients_s = (double)clients_cpu_ns(run->clients, run->load.options.threads) / 1e9;
        ret->sink_s = (double)sink_cpu_ns(run->sink) / 1e9;
}

/* The relay and the machine at one moment. */
static void moment(struct run *run, enum load_moment when, struct usage_relay *ret_relay, struct usage_machine *ret_machine)
{
        *ret_relay = (struct usage_relay){ .processes = 0 };
        relay_look(run, ret_relay);
        usage_machine_read(ret_machine);
        run->result.memory[when] = (struct load_memory){ .rss_kib = ret_relay->rss_kib,
                                                         .pss_kib = ret_relay->pss_kib,
                                                         .available_kib = ret_machine->available_kib,
                                                         .socket_kib = ret_machine->socket_kib };
}

static void measure(struct run *run)
{
        struct load_result *r = &run->result;
        const unsigned threads = run->load.options.threads;
        struct usage_machine machine;
        struct usage_relay relay;
        struct usage_ends ends;
        int64_t end_ns = 0;

        meeting_wait(run);
        moment(run, MOMENT_OPEN, &relay, &machine);
        ends_read(run, &ends);
        run->load.go_ns = clock_ns();
        run->load.end_ns = run->load.go_ns + (int64_t)(run->load.options.seconds * 1e9);
        meeting_go_on(&run->load.meeting);

        meeting_wait(run);
        ends_read(run, &r->ends);
        moment(run, MOMENT_END, &r->relay, &r->machine);
        for (unsigned i = 0; i < threads; i++)
                end_ns = run->clients[i].end_ns > end_ns ? run->clients[i].end_ns : end_ns;
        r->seconds = (double)(end_ns - run->load.go_ns) / 1e9;
        usage_ends_since(&r->ends, &ends);
        usage_machine_since(&r->machine, &machine);
        usage_relay_since(&r->relay, &relay);
        meeting_go_on(&run->load.meeting);

        meeting_wait(run);
        meeting_go_on(&run->load.meeting);
}

/* ---- the result ---- */

static void gather(struct run *run, struct histogram *latency)
{
        struct load_result *r = &run->result;

        for (unsigned i = 0; i < run->load.options.threads; i++) {
                const struct client *c = &run->clients[i];

                r->tally.bytes += c->tally.bytes;
                r->tally.messages += c->tally.messages;
                r->tally.opened += c->tally.opened;
                r->tally.failed += c->tally.failed;
                r->tally.wrong += c->tally.wrong;
                if (c->error[0])
                        failed(r, c->error);
                histogram_merge(latency, c->latency);
                free(c->latency);
        }
        r->latency = latency;
}

/* What one end of each connection sent against what the other got. */
static void compare(struct run *run)
{
        struct load_result *r = &run->result;
        char what[LOAD_ERROR_MAX];

        if (run->load.options.mode != LOAD_BULK)
                return;
        for (uint32_t i = 0; i < run->load.records_nr; i++) {
                const struct load_record *record = &run->load.records[i];

                r->received += record->received;
                if (record->sent == record->received && !record->wrong)
                        continue;
                r->tally.wrong++;
                snprintf(what, sizeof(what), "connection %u: %llu bytes sent, %llu received%s", i, (unsigned long long)record->sent,
                         (unsigned long long)record->received, record->wrong ? ", not those that were sent" : "");
                failed(r, what);
        }
}

static int judge(struct run *run, uint64_t strangers)
{
        struct load_result *r = &run->result;

        if (r->relay_gone)
                failed(r, "the relay is gone: no process of --pid");
        if (strangers)
                failed(r, "the sink got bytes that no client sent");
        r->tally.wrong += strangers;
        if (r->error[0])
                fprintf(stderr, "sluice-bench-load: %llu failed, %llu wrong; the first: %s\n", (unsigned long long)r->tally.failed,
                        (unsigned long long)r->tally.wrong, r->error);
        (run->load.options.json ? report_json : report_table)(&run->load.options, r);
        return r->error[0] ? EXIT_FAILED : 0;
}

/* ---- from begin to end ---- */

static int files_suffice(const struct load_options *o)
{
        uint64_t need = 2 * ((uint64_t)o->connections + o->idle) + 4 * (uint64_t)o->threads + FILES_SPARE, have = net_files_max();

        if (need <= have)
                return 0;
        fprintf(stderr,
                "sluice-bench-load: %llu open files are needed, and %llu allowed: raise the limit (ulimit -n) or ask for fewer "
                "connections\n",
                (unsigned long long)need, (unsigned long long)have);
        return EXIT_FAILED;
}

static int run_ready(struct run *run)
{
        struct load *load = &run->load;
        struct load_options *o = &load->options;
        int error = sink_start(load, &run->sink);
        struct usage_machine machine;
        struct usage_relay relay;

        if (error)
                return tell(o->listen.text, error);
        if (o->direct)
                o->connect = o->listen;
        error = net_wait(&o->connect, o->wait_s);
        if (error)
                return tell(o->connect.text, error);
        error = o->find ? relay_find(o) : 0;
        if (error)
                return tell("--relay: nobody that can be seen listens there", error);
        moment(run, MOMENT_REST, &relay, &machine);
        error = clients_start(load, &run->clients);
        return error ? tell("clients", error) : 0;
}

static int run_all(struct run *run)
{
        struct histogram *latency = histogram_new();
        struct load *load = &run->load;
        uint64_t strangers;
        int status = 0;

        load->records_nr = load->options.connections + load->options.idle;
        load->records = calloc(load->records_nr, sizeof(*load->records));
        load->left = (int64_t)load->options.amount;
        if (!latency || !load->records)
                return tell("memory", -ENOMEM);
        status = run_ready(run);
        if (status)
                exit(status); /* threads may wait for a meeting that will not be */
        measure(run);
        clients_end(run->clients, load->options.threads);
        strangers = sink_stop(run->sink);
        gather(run, latency);
        compare(run);
        status = judge(run, strangers);
        free(run->clients);
        free(load->records);
        free(latency);
        return status;
}

int main(int argc, char **argv)
{
        static struct run run;
        int status = options_parse(argc, argv, &run.load.options);

        if (status)
                return status < 0 ? EXIT_USAGE : 0;
        status = files_suffice(&run.load.options);
        if (status)
                return status;
        meeting_init(&run.load.meeting);
        return run_all(&run);
}
