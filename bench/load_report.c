/* bench/load_report.c: a result as a table for people, and as JSON for programs. Prints; calls nobody else. */
#include "load.h"

#include <stdio.h>

#define GIB (1024.0 * 1024 * 1024)

static double per(double what, double of)
{
        return of > 0 ? what / of : 0;
}

static double ends_cpu_s(const struct load_result *r)
{
        return r->ends.clients_s + r->ends.sink_s;
}

/* Each byte counts once, on its way there. */
static double gib(const struct load_result *r)
{
        return (double)r->tally.bytes / GIB;
}

static double busy_s(const struct usage_machine *m)
{
        return m->user_s + m->system_s + m->irq_s + m->softirq_s;
}

static double latency_us(const struct load_result *r, double percent)
{
        return (double)histogram_percentile(r->latency, percent) / 1e3;
}

/* ---- the table ---- */

static void table_work(const struct load_options *o, const struct load_result *r)
{
        if (o->mode == LOAD_BULK) {
                printf("moved       %.3f GiB in %.3f s: %.3f GiB/s\n", gib(r), r->seconds, per(gib(r), r->seconds));
                return;
        }
        printf("%s %llu in %.3f s: %.0f/s\n", o->mode == LOAD_CHURN ? "connections" : "messages   ",
               (unsigned long long)r->tally.messages, r->seconds, per((double)r->tally.messages, r->seconds));
        printf("latency     p50 %.1f us, p99 %.1f us, p99.9 %.1f us, most %.1f us\n", latency_us(r, 50), latency_us(r, 99),
               latency_us(r, 99.9), latency_us(r, 100));
}

static void table_relay(const struct load_options *o, const struct load_result *r)
{
        const struct usage_relay *u = &r->relay;

        if (!o->pids_nr)
                return;
        printf("relay       CPU %.3f s (user %.2f, system %.2f), switches %llu + %llu, %u processes, %u threads\n", u->cpu_s,
               u->user_s, u->system_s, (unsigned long long)u->switches_voluntary, (unsigned long long)u->switches_involuntary,
               r->relay_peak.processes, r->relay_peak.threads);
        printf("            RSS %llu KiB, most ever %llu KiB, PSS %llu KiB; at rest %llu KiB, all open %llu KiB\n",
               (unsigned long long)r->relay_peak.rss_kib, (unsigned long long)r->relay_peak.rss_most_kib,
               (unsigned long long)r->relay_peak.pss_kib, (unsigned long long)r->memory[MOMENT_REST].pss_kib,
               (unsigned long long)r->memory[MOMENT_OPEN].pss_kib);
}

static void table_per_gib(const struct load_options *o, const struct load_result *r)
{
        if (o->mode != LOAD_BULK)
                return;
        printf("CPU s/GiB   ends %.3f", per(ends_cpu_s(r), gib(r)));
        if (o->pids_nr)
                printf(", relay %.3f, both %.3f", per(r->relay.cpu_s, gib(r)), per(ends_cpu_s(r) + r->relay.cpu_s, gib(r)));
        printf(", machine %.3f\n", per(busy_s(&r->machine), gib(r)));
}

void report_table(const struct load_options *o, const struct load_result *r)
{
        printf("%s %s: %u connections", options_mode_name(o->mode), o->direct ? "without a relay" : o->connect.text,
               o->connections);
        if (o->mode == LOAD_IDLE)
                printf(" busy, %u idle", o->idle);
        if (o->mode != LOAD_BULK)
                printf(", %zu bytes", o->size_bytes);
        putchar('\n');
        table_work(o, r);
        printf("ends        CPU %.3f s (user %.3f, system %.3f; clients %.3f, sink %.3f), switches %llu + %llu\n", ends_cpu_s(r),
               r->ends.user_s, r->ends.system_s, r->ends.clients_s, r->ends.sink_s, (unsigned long long)r->ends.switches_voluntary,
               (unsigned long long)r->ends.switches_involuntary);
        table_relay(o, r);
        printf("machine     CPU %.2f s (user %.2f, system %.2f, irq %.2f, softirq %.2f, steal %.2f), idle %.2f s, switches %llu\n",
               busy_s(&r->machine), r->machine.user_s, r->machine.system_s, r->machine.irq_s, r->machine.softirq_s,
               r->machine.steal_s, r->machine.idle_s, (unsigned long long)r->machine.switches);
        table_per_gib(o, r);
        printf("opened      %llu, failed %llu, wrong %llu\n", (unsigned long long)r->tally.opened,
               (unsigned long long)r->tally.failed, (unsigned long long)r->tally.wrong);
}

/* ---- JSON ---- */

static void json_text(const char *name, const char *text)
{
        printf(" \"%s\": \"", name);
        for (; *text; text++) {
                if (*text == '"' || *text == '\\')
                        putchar('\\');
                putchar((unsigned char)*text < ' ' ? ' ' : *text);
        }
        fputs("\",\n", stdout);
}

static void json_relay(const struct load_options *o, const struct load_result *r)
{
        const struct usage_relay *u = &r->relay, *peak = &r->relay_peak;

        if (!o->pids_nr) {
                puts(" \"relay\": null,");
                return;
        }
        printf(" \"relay\": {\"processes\": %u, \"threads\": %u, \"cpu_s\": %.6f, \"user_s\": %.3f, \"system_s\": %.3f,"
               " \"switches_voluntary\": %llu, \"switches_involuntary\": %llu, \"rss_kib\": %llu, \"rss_most_kib\": %llu,"
               " \"pss_kib\": %llu},\n",
               peak->processes, peak->threads, u->cpu_s, u->user_s, u->system_s, (unsigned long long)u->switches_voluntary,
               (unsigned long long)u->switches_involuntary, (unsigned long long)peak->rss_kib,
               (unsigned long long)peak->rss_most_kib, (unsigned long long)peak->pss_kib);
        printf(" \"relay_cpu_s_per_gib\": %.6f, \"path_cpu_s_per_gib\": %.6f,\n", per(u->cpu_s, gib(r)),
               per(u->cpu_s + ends_cpu_s(r), gib(r)));
}

static void json_memory(const struct load_result *r)
{
        static const char *const names[] = { [MOMENT_REST] = "rest", [MOMENT_OPEN] = "open", [MOMENT_END] = "end" };

        fputs(" \"memory\": {", stdout);
        for (size_t i = 0; i < MOMENTS_NR; i++) {
                const struct load_memory *m = &r->memory[i];

                printf("%s\"%s\": {\"rss_kib\": %llu, \"pss_kib\": %llu, \"available_kib\": %lld, \"socket_kib\": %lld}",
                       i ? ",\n  " : "", names[i], (unsigned long long)m->rss_kib, (unsigned long long)m->pss_kib,
                       (long long)m->available_kib, (long long)m->socket_kib);
        }
        puts("},");
}

static void json_what(const struct load_options *o)
{
        puts("{");
        json_text("mode", options_mode_name(o->mode));
        json_text("connect", o->connect.text);
        json_text("listen", o->listen.text);
        printf(" \"direct\": %s, \"connections\": %u, \"idle\": %u, \"size\": %zu, \"threads\": %u,\n",
               o->direct ? "true" : "false", o->connections, o->idle, o->size_bytes, o->threads);
}

static void json_work(const struct load_result *r)
{
        printf(" \"seconds\": %.9f, \"bytes\": %llu, \"received\": %llu, \"gib_per_s\": %.6f, \"messages\": %llu,"
               " \"messages_per_s\": %.3f,\n",
               r->seconds, (unsigned long long)r->tally.bytes, (unsigned long long)r->received, per(gib(r), r->seconds),
               (unsigned long long)r->tally.messages, per((double)r->tally.messages, r->seconds));
        printf(" \"opened\": %llu, \"failed\": %llu, \"wrong\": %llu,\n", (unsigned long long)r->tally.opened,
               (unsigned long long)r->tally.failed, (unsigned long long)r->tally.wrong);
        printf(" \"latency_us\": {\"p50\": %.3f, \"p90\": %.3f, \"p99\": %.3f, \"p99.9\": %.3f, \"most\": %.3f, \"mean\": %.3f},\n",
               latency_us(r, 50), latency_us(r, 90), latency_us(r, 99), latency_us(r, 99.9), latency_us(r, 100),
               histogram_mean(r->latency) / 1e3);
}

void report_json(const struct load_options *o, const struct load_result *r)
{
        const struct usage_machine *m = &r->machine;

        json_what(o);
        json_work(r);
        printf(" \"ends\": {\"cpu_s\": %.6f, \"user_s\": %.6f, \"system_s\": %.6f, \"clients_cpu_s\": %.6f, \"sink_cpu_s\": %.6f,"
               " \"switches_voluntary\": %llu, \"switches_involuntary\": %llu},\n",
               ends_cpu_s(r), r->ends.user_s, r->ends.system_s, r->ends.clients_s, r->ends.sink_s,
               (unsigned long long)r->ends.switches_voluntary, (unsigned long long)r->ends.switches_involuntary);
        json_relay(o, r);
        printf(" \"ends_cpu_s_per_gib\": %.6f, \"machine_cpu_s_per_gib\": %.6f,\n", per(ends_cpu_s(r), gib(r)),
               per(busy_s(m), gib(r)));
        printf(" \"machine\": {\"cpu_s\": %.2f, \"user_s\": %.2f, \"system_s\": %.2f, \"irq_s\": %.2f, \"softirq_s\": %.2f,"
               " \"steal_s\": %.2f, \"idle_s\": %.2f, \"switches\": %llu},\n",
               busy_s(m), m->user_s, m->system_s, m->irq_s, m->softirq_s, m->steal_s, m->idle_s, (unsigned long long)m->switches);
        json_memory(r);
        json_text("error", r->error);
        printf(" \"ok\": %s\n}\n", r->error[0] ? "false" : "true");
}
