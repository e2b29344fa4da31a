/* tools/report.c: what a pipeline does or did: a table for people, JSON for programs (by jansson). */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "tools.h"

static void explain_text(const struct sluice_pipeline *p, int link, char *buf, size_t cap, const char **ret_why)
{
        char *colon;

        sluice_pipeline_explain(p, link, buf, cap);
        colon = strstr(buf, ": ");
        *ret_why = colon ? colon + 2 : buf;
}

/* What stages had to say: checksums, counts. */
void report_reports(FILE *out, const struct sluice_pipeline *p)
{
        for (int i = 0; i < sluice_pipeline_stages(p); i++) {
                struct sluice_stage_result s = { .size = sizeof(s) };

                if (sluice_pipeline_stage_result(p, i, &s) < 0)
                        continue;
                for (int k = 0; k < SLUICE_REPORTS_MAX && s.reports[k].name; k++)
                        fprintf(out, "%s: %s %s\n", sluice_pipeline_stage_name(p, i), s.reports[k].name, s.reports[k].value);
        }
}

/* Which means held the commands together, and whether they left anything behind. */
void report_processes(FILE *out, const struct sluice_pipeline *p)
{
        struct sluice_usage u = { .size = sizeof(u) };

        if (sluice_pipeline_usage(p, &u) < 0 || u.contain == SLUICE_CONTAIN_NONE)
                return;
        fprintf(out, "PROCESSES  contained by: %s%s%s\n", sluice_contain_name(u.contain), u.guard ? ", with a guard" : "",
                u.strays ? "; what they left behind was ended" : "");
}

/* Why epoll does what io_uring would do better. */
void report_backend(FILE *out, const struct sluice_pipeline *p)
{
        struct sluice_usage u = { .size = sizeof(u) };
        const char *cause;

        if (sluice_pipeline_usage(p, &u) < 0 || u.ring_error == 0 || u.backend != SLUICE_BACKEND_EPOLL)
                return;
        cause = u.ring_error == -EPERM    ? "EPERM: seccomp or kernel.io_uring_disabled"
                : u.ring_error == -ENOMEM ? "ENOMEM: the limit of locked memory"
                : u.ring_error == -ENOSYS ? "ENOSYS: this kernel or sandbox has none"
                                          : strerror(-u.ring_error);
        fprintf(out, "sluice: io_uring is refused (%s): epoll does its work; 'sluice doctor' names the cure\n", cause);
}

static void link_line(FILE *out, const struct sluice_pipeline *p, int i, int width)
{
        char text[768], name[512];
        const char *why;
        int from, to;

        sluice_pipeline_link_ends(p, i, &from, &to);
        explain_text(p, i, text, sizeof(text), &why);
        snprintf(name, sizeof(name), "%s -> %s", sluice_pipeline_stage_name(p, from), sluice_pipeline_stage_name(p, to));
        fprintf(out, "%-*s  %-8s  %s\n", width, name, sluice_link_mode_name(sluice_pipeline_link_mode(p, i)), why);
}

/* In the order of the stages that they leave: links come in the order in which they were made. */
void report_links(FILE *out, const struct sluice_pipeline *p)
{
        int width = 4, n = sluice_pipeline_links(p), from, to;

        for (int i = 0; i < n; i++) {
                sluice_pipeline_link_ends(p, i, &from, &to);
                int w = (int)strlen(sluice_pipeline_stage_name(p, from)) + (int)strlen(sluice_pipeline_stage_name(p, to)) + 4;

                width = w > width ? w : width;
        }
        fprintf(out, "%-*s  %-8s  %s\n", width, "LINK", "MODE", "WHY");
        for (int stage = 0; stage < sluice_pipeline_stages(p); stage++)
                for (int i = 0; i < n; i++)
                        if (sluice_pipeline_link_ends(p, i, &from, &to) == 0 && from == stage)
                                link_line(out, p, i, width);
}

/* ---- stages ---- */

/* What became of it, without the name in front, which has a column of its own. */
static const char *without_name(const char *message, const char *name)
{
        size_t bytes = strlen(name);

        return strncmp(message, name, bytes) == 0 && strncmp(message + bytes, ": ", 2) == 0 ? message + bytes + 2 : message;
}

static void stage_line(FILE *out, const struct sluice_pipeline *p, int i, int width)
{
        struct sluice_stage_result s = { .size = sizeof(s) };
        const char *name = sluice_pipeline_stage_name(p, i);
        char status[16] = "-", cpu[32] = "-", wall[32] = "-", peak[32] = "-";

        if (sluice_pipeline_stage_result(p, i, &s) < 0)
                return;
        if (s.known && s.signal)
                snprintf(status, sizeof(status), "%d", 128 + s.signal);
        else if (s.known)
                snprintf(status, sizeof(status), "%d", s.exit_status);
        if (s.pid) {
                snprintf(cpu, sizeof(cpu), "%.3f s", s.cpu_s);
                snprintf(wall, sizeof(wall), "%.3f s", s.wall_s);
        }
        if (s.peak_bytes.certainty != SLUICE_UNKNOWN)
                size_text(s.peak_bytes.value, peak, sizeof(peak));
        fprintf(out, "%-*s  %-7s  %6s  %10s  %10s  %10s%s%s%s%s\n", width, name, sluice_verdict_name(s.verdict), status, cpu, wall,
                peak, s.message[0] ? "  " : "", without_name(s.message, name), s.excused ? " (its reader had enough)" : "",
                s.ignored ? " (ignored)" : "");
}

void report_stages(FILE *out, const struct sluice_pipeline *p)
{
        int width = 5, n = sluice_pipeline_stages(p);

        for (int i = 0; i < n; i++) {
                int w = (int)strlen(sluice_pipeline_stage_name(p, i));

                width = w > width ? w : width;
        }
        fprintf(out, "%-*s  %-7s  %6s  %10s  %10s  %10s  %s\n", width, "STAGE", "RESULT", "STATUS", "CPU", "TIME", "MEMORY", "WHY");
        for (int i = 0; i < n; i++)
                stage_line(out, p, i, width);
}

static json_t *number(struct sluice_number n)
{
        return n.certainty == SLUICE_UNKNOWN ? json_null() : json_integer((json_int_t)n.value);
}

static const char *certainty_name(struct sluice_number n)
{
        return n.certainty == SLUICE_EXACT ? "exact" : n.certainty == SLUICE_ESTIMATE ? "estimate" : "unknown";
}

static json_t *counter(unsigned long long value)
{
        return json_integer((json_int_t)value);
}

static json_t *operations(const struct sluice_stats *s)
{
        return json_pack("{s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "splice", counter(s->ops_splice), "tee",
                         counter(s->ops_tee), "read", counter(s->ops_read), "write", counter(s->ops_write), "recv",
                         counter(s->ops_recv), "send", counter(s->ops_send), "poll", counter(s->ops_poll), "inline",
                         counter(s->ops_inline), "ring", counter(s->ops_ring), "short", counter(s->ops_short), "retried",
                         counter(s->ops_retried));
}

json_t *text_json(const char *text)
{
        json_t *j = json_string(text);
        char *copy;

        if (j)
                return j;
        copy = strdup(text);
        if (!copy)
                return json_null();
        for (char *c = copy; *c; c++)
                if ((unsigned char)*c >= 0x80)
                        *c = '?';
        j = json_string(copy);
        free(copy);
        return j ? j : json_null();
}

static json_t *link_shape(const struct sluice_pipeline *p, int i)
{
        char text[768];
        const char *why;
        int from, to;

        sluice_pipeline_link_ends(p, i, &from, &to);
        explain_text(p, i, text, sizeof(text), &why);
        return json_pack("{s:o,s:i,s:o,s:i,s:s,s:o}", "from", text_json(sluice_pipeline_stage_name(p, from)), "from_stage", from,
                         "to", text_json(sluice_pipeline_stage_name(p, to)), "to_stage", to, "mode",
                         sluice_link_mode_name(sluice_pipeline_link_mode(p, i)), "why", text_json(why));
}

static json_t *link_json(const struct sluice_pipeline *p, int i)
{
        struct sluice_stats s = { .size = sizeof(s) };
        json_t *j = link_shape(p, i);

        if (sluice_pipeline_stats(p, i, &s) < 0)
                return j;
        json_object_set_new(j, "driver", s.driver == SLUICE_DRIVER_AUTO ? json_null() : json_string(sluice_driver_name(s.driver)));
        json_object_set_new(j, "driver_changes", counter(s.driver_changes));
        json_object_set_new(j, "bytes", number(s.bytes));
        json_object_set_new(j, "certainty", json_string(certainty_name(s.bytes)));
        json_object_set_new(j, "bytes_direct", number(s.bytes_direct));
        json_object_set_new(j, "bytes_piped", number(s.bytes_piped));
        json_object_set_new(j, "bytes_spliced", number(s.bytes_spliced));
        json_object_set_new(j, "bytes_copied", number(s.bytes_copied));
        json_object_set_new(j, "bytes_uncached", counter(s.bytes_uncached));
        json_object_set_new(j, "bytes_inside", counter(s.bytes_inside));
        json_object_set_new(j, "pipe_bytes", counter(s.pipe_bytes));
        json_object_set_new(j, "waits_upstream", counter(s.waits_upstream));
        json_object_set_new(j, "waits_downstream", counter(s.waits_downstream));
        json_object_set_new(j, "operations", operations(&s));
        return j;
}

static json_t *failure_json(const struct sluice_failure *f)
{
        return json_pack("{s:i,s:o,s:s,s:i,s:o,s:o,s:b,s:o,s:o}", "stage", f->stage, "name", text_json(f->stage_name), "operation",
                         f->operation ? f->operation : "", "errno", -f->error, "exit_status",
                         f->exit_status >= 0 ? json_integer(f->exit_status) : json_null(), "signal",
                         f->signal ? json_integer(f->signal) : json_null(), "inferred", f->inferred, "message",
                         text_json(f->message), "stderr", text_json(f->stderr_tail));
}

static json_t *backend_json(const struct sluice_usage *u)
{
        return u->backend == SLUICE_BACKEND_AUTO ? json_null() : json_string(sluice_backend_name(u->backend));
}

static json_t *integer_or_null(int known, int value)
{
        return known ? json_integer(value) : json_null();
}

static json_t *reports_json(const struct sluice_stage_result *s)
{
        json_t *j = json_object();

        for (int k = 0; k < SLUICE_REPORTS_MAX && s->reports[k].name; k++)
                json_object_set_new(j, s->reports[k].name, text_json(s->reports[k].value));
        return j;
}

static json_t *stage_json(const struct sluice_pipeline *p, int i)
{
        struct sluice_stage_result s = { .size = sizeof(s) };

        if (sluice_pipeline_stage_result(p, i, &s) < 0)
                return json_null();
        return json_pack("{s:i,s:o,s:s,s:o,s:o,s:o,s:i,s:i,s:b,s:b,s:b,s:b,s:f,s:f,s:o,s:o,s:o,s:o}", "stage", i, "name",
                         text_json(sluice_pipeline_stage_name(p, i)), "verdict", sluice_verdict_name(s.verdict), "pid",
                         integer_or_null(s.pid != 0, (int)s.pid), "exit_status",
                         integer_or_null(s.known && !s.signal, s.exit_status), "signal", integer_or_null(s.signal != 0, s.signal),
                         "errno", -s.error, "last_errno", -s.last_error, "excused", s.excused, "ignored", s.ignored, "inferred",
                         s.inferred, "limit_exceeded", s.limit_exceeded, "cpu_seconds", s.cpu_s, "seconds", s.wall_s, "peak_bytes",
                         number(s.peak_bytes), "message", text_json(s.message), "stderr", text_json(s.stderr_tail), "reports",
                         reports_json(&s));
}

static json_t *stages_json(const struct sluice_pipeline *p)
{
        json_t *list = json_array();

        for (int i = 0; i < sluice_pipeline_stages(p); i++)
                json_array_append_new(list, stage_json(p, i));
        return list;
}

static json_t *failures_json(const struct sluice_pipeline *p)
{
        struct sluice_failure failures[32];
        int n = sluice_pipeline_failures(p, failures, 32);
        json_t *list = json_array();

        for (int i = 0; i < n && i < 32; i++)
                json_array_append_new(list, failure_json(&failures[i]));
        return list;
}

/* What reached the last stage; when only processes know that, what left the first; else null. */
static json_t *total_bytes(const struct sluice_pipeline *p)
{
        struct sluice_stats s = { .size = sizeof(s) };
        int n = sluice_pipeline_links(p);

        if (n > 0 && sluice_pipeline_stats(p, n - 1, &s) == 0 && s.bytes.certainty != SLUICE_UNKNOWN)
                return number(s.bytes);
        return n > 0 && sluice_pipeline_stats(p, 0, &s) == 0 ? number(s.bytes) : json_null();
}

/* Where buffers came from: 0 in all when no byte needed one. */
static json_t *pool_json(const struct sluice_usage *u)
{
        return json_pack("{s:o,s:o,s:o,s:o,s:i}", "total_bytes", counter(u->pool_total_bytes), "lent_peak_bytes",
                         counter(u->pool_lent_peak_bytes), "frees_local", counter(u->pool_frees_local), "frees_remote",
                         counter(u->pool_frees_remote), "unbound", (int)u->unbound);
}

void report_json(FILE *out, const struct sluice_pipeline *p, int exit_status)
{
        struct sluice_usage u = { .size = sizeof(u) };
        unsigned long long copied = 0;
        json_t *j, *links = json_array();

        for (int i = 0; i < sluice_pipeline_links(p); i++) {
                struct sluice_stats s = { .size = sizeof(s) };

                if (sluice_pipeline_stats(p, i, &s) == 0)
                        copied += s.bytes_copied.value;
                json_array_append_new(links, link_json(p, i));
        }
        if (sluice_pipeline_usage(p, &u) < 0)
                memset(&u, 0, sizeof(u));
        j = json_pack("{s:i,s:o,s:o,s:f,s:{s:f,s:f},s:o,s:{s:o,s:o,s:o,s:o,s:o},s:i,s:s,s:b,s:b,s:o,s:o,s:o,s:o}", "exit_status",
                      exit_status, "error", sluice_pipeline_error(p)[0] ? text_json(sluice_pipeline_error(p)) : json_null(),
                      "bytes", total_bytes(p), "seconds", u.wall_s, "cpu_seconds", "self", u.cpu_self_s, "children",
                      u.cpu_children_s, "bytes_copied", counter(copied), "loop", "backend", backend_json(&u), "operations",
                      counter(u.ring_ops), "waits", counter(u.waits), "waits_for_ring", counter(u.waits_for_ring), "overflows",
                      counter(u.overflows), "abandoned", (int)u.abandoned, "contain", sluice_contain_name(u.contain), "guard",
                      u.guard, "strays", u.strays > 0, "pool", pool_json(&u), "stages", stages_json(p), "links", links, "failures",
                      failures_json(p));
        json_dumpf(j, out, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(9));
        fputc('\n', out);
        json_decref(j);
}

/* A name as a quoted string of graphviz. */
static void dot_name(FILE *out, const char *text)
{
        fputc('"', out);
        for (; *text; text++) {
                if (*text == '"' || *text == '\\')
                        fputc('\\', out);
                fputc(*text == '\n' ? ' ' : *text, out);
        }
        fputc('"', out);
}

/* What a stage runs copies of is a cluster, joined to it by a dashed line; its stages' names begin with where it is. */
static void dot_graph(FILE *out, const struct sluice_pipeline *p, const char *prefix)
{
        for (int i = 0; i < sluice_pipeline_stages(p); i++) {
                fprintf(out, "        %s%d [label=", prefix, i);
                dot_name(out, sluice_pipeline_stage_name(p, i));
                fputs("];\n", out);
        }
        for (int i = 0; i < sluice_pipeline_links(p); i++) {
                char text[768];
                const char *why;
                int from, to;

                sluice_pipeline_link_ends(p, i, &from, &to);
                explain_text(p, i, text, sizeof(text), &why);
                fprintf(out, "        %s%d -> %s%d [label=\"%s\", tooltip=", prefix, from, prefix, to,
                        sluice_link_mode_name(sluice_pipeline_link_mode(p, i)));
                dot_name(out, why);
                fputs("];\n", out);
        }
        for (int i = 0; i < sluice_pipeline_stages(p); i++) {
                struct sluice_pipeline *inside;
                int copies = sluice_pipeline_inside(p, i, &inside);
                char within[64];

                if (copies <= 0)
                        continue;
                snprintf(within, sizeof(within), "%s%d_", prefix, i);
                fprintf(out, "        subgraph cluster_%s%d {\n        label=\"up to %d at once\";\n", prefix, i, copies);
                dot_graph(out, inside, within);
                fprintf(out, "        }\n        %s%d -> %s0 [style=dashed, arrowhead=none];\n", prefix, i, within);
                sluice_pipeline_free(inside);
        }
}

void explain_dot(FILE *out, const struct sluice_pipeline *p)
{
        fputs("digraph pipeline {\n        rankdir=LR;\n        node [shape=box];\n", out);
        dot_graph(out, p, "s");
        fputs("}\n", out);
}

static json_t *explained(const struct sluice_pipeline *p)
{
        json_t *links = json_array(), *insides = json_array();

        for (int i = 0; i < sluice_pipeline_links(p); i++)
                json_array_append_new(links, link_shape(p, i));
        for (int i = 0; i < sluice_pipeline_stages(p); i++) {
                struct sluice_pipeline *inside;
                int copies = sluice_pipeline_inside(p, i, &inside);

                if (copies <= 0)
                        continue;
                json_array_append_new(insides, json_pack("{s:i,s:o,s:i,s:o}", "stage", i, "name",
                                                         text_json(sluice_pipeline_stage_name(p, i)), "copies", copies, "pipeline",
                                                         explained(inside)));
                sluice_pipeline_free(inside);
        }
        return json_pack("{s:o,s:o}", "links", links, "inside", insides);
}

void explain_json(FILE *out, const struct sluice_pipeline *p)
{
        json_t *j = explained(p);

        json_dumpf(j, out, JSON_COMPACT | JSON_PRESERVE_ORDER);
        fputc('\n', out);
        json_decref(j);
}
