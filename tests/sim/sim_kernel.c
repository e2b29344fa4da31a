/* tests/sim/sim_kernel.c: chance, time, and what happens when a law is broken. Called by all of the model; calls nothing of it
 * but what takes it down. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim_kernel.h"

char *sim_report;

enum { STEP_NS = 500, STEP_NS_MORE = 2000 };

static const char *const fault_names[SIM_FAULTS] = {
        [SIM_SHORT] = "short",     [SIM_AGAIN] = "again",     [SIM_EINTR] = "eintr",   [SIM_DELAY] = "delay",
        [SIM_REORDER] = "reorder", [SIM_STALE] = "stale",     [SIM_LEAK] = "leak",     [SIM_QUOTA] = "quota",
        [SIM_REFUSE] = "refuse",   [SIM_WORKERS] = "workers", [SIM_NOFILE] = "nofile", [SIM_NOSPACE] = "nospace",
        [SIM_EIO] = "eio",         [SIM_RESET] = "reset",     [SIM_CANCEL] = "cancel", [SIM_CRASH] = "crash",
        [SIM_EARLY] = "early",     [SIM_LOCK] = "lock",
};

static const char *const mutation_names[SIM_MUTATIONS] = {
        [SIM_RIGHT] = "right",
        [SIM_BAD_TEE_CONSUMES] = "tee_consumes",
        [SIM_BAD_SLOTS_ARE_BYTES] = "slots_are_bytes",
        [SIM_BAD_NO_MERGE] = "no_merge",
        [SIM_BAD_EOF_BEFORE_FULL] = "eof_before_full",
        [SIM_BAD_SNAPSHOT] = "snapshot",
        [SIM_BAD_APPEND_SPLICES] = "append_splices",
        [SIM_BAD_SHORT_DROPS] = "short_drops",
        [SIM_BAD_HUP_IS_IN] = "hup_is_in",
        [SIM_BAD_CANCEL_RUNNING] = "cancel_running",
        [SIM_BAD_LOCK_IS_DROPPED] = "lock_is_dropped",
        [SIM_BAD_FRAGMENTS_JOIN] = "fragments_join",
        [SIM_BAD_RESET_LOSES] = "reset_loses",
        [SIM_BAD_LATE_OPTIONS] = "late_options",
        [SIM_BAD_ERROR_STAYS] = "error_stays",
};

const char *sim_fault_name(enum sim_fault f)
{
        return fault_names[f];
}

const char *sim_mutation_name(enum sim_mutation m)
{
        return mutation_names[m];
}

void sim_init(struct sim *k, const struct sim_config *c, uint64_t seed)
{
        *k = (struct sim){ .config = *c, .random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1, .now_ns = 1000000000 };
        for (int i = 0; i < 4; i++)
                sim_random(k); /* seeds that are neighbours are none afterwards */
}

static void law(struct sim *k, const char *what, uint64_t left)
{
        if (left)
                sim_fail(k, "%llu %s left at the end", (unsigned long long)left, what);
}

void sim_fini(struct sim *k)
{
        for (unsigned i = 0; i < k->fds_nr; i++)
                if (k->fds[i])
                        sim_fail(k, "fd %u left open at the end", SIM_FD_FIRST + i);
        sim_tasks_free(k);
        while (k->inodes)
                sim_inode_unname(k->inodes);
        law(k, "descriptions", k->descs);
        law(k, "pipes", k->pipes);
        law(k, "sockets", k->sockets);
        law(k, "pages", k->pages);
        free(k->fds);
        free(k->ops);
        free(k->listeners);
}

/* xorshift64*: small, and no worse than what is asked of it. */
uint64_t sim_random(struct sim *k)
{
        k->random ^= k->random >> 12;
        k->random ^= k->random << 25;
        k->random ^= k->random >> 27;
        return k->random * UINT64_C(0x2545f4914f6cdd1d);
}

uint64_t sim_below(struct sim *k, uint64_t n)
{
        return n < 2 ? 0 : (sim_random(k) >> 11) % n;
}

bool sim_strikes(struct sim *k, enum sim_fault f)
{
        if (k->calm || !(k->config.faults & 1u << f) || sim_below(k, 1000) >= k->config.rate[f])
                return false;
        k->struck |= 1u << f;
        return true;
}

size_t sim_some(struct sim *k, size_t n)
{
        return n > 1 && sim_strikes(k, SIM_SHORT) ? 1 + sim_below(k, n - 1) : n;
}

void sim_changed(struct sim *k)
{
        k->version++;
}

void sim_step(struct sim *k)
{
        k->steps++;
        if (k->tick)
                k->tick(k->arg);
        k->now_ns += STEP_NS + (k->config.manual ? 0 : sim_below(k, STEP_NS_MORE));
        if (k->config.steps_max && k->steps > k->config.steps_max)
                sim_fail(k, "no end after %llu steps", (unsigned long long)k->steps);
}

void sim_trace(const struct sim *k, const char *format, ...)
{
        va_list args;

        if (!k->config.trace)
                return;
        printf("%6llu %9llu us  ", (unsigned long long)k->steps, (unsigned long long)(k->now_ns / 1000));
        va_start(args, format);
        vprintf(format, args);
        va_end(args);
        printf("\n");
        fflush(stdout);
}

void sim_fail(struct sim *k, const char *format, ...)
{
        char text[SIM_REPORT_BYTES / 2];
        va_list args;

        va_start(args, format);
        vsnprintf(text, sizeof(text), format, args);
        va_end(args);
        if (sim_report)
                snprintf(sim_report, SIM_REPORT_BYTES, "%s", text);
        else
                fprintf(stderr, "sim: %s [%s, step %llu]\n", text, k->context, (unsigned long long)k->steps);
        abort();
}
