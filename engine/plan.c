/* engine/plan.c: see plan.h. Called by pipeline.c and run.c; calls negotiate.c and the stages' describe(). */
#include "plan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "environ.h"
#include "run.h"

/* A string of the host's that we keep. */
static int keep_text(const char **text)
{
        if (*text && !(*text = strdup(*text)))
                return -ENOMEM;
        return 0;
}

/* From here on what the options point to is ours, or NULL. */
static int keep_options(struct sluice_options *o)
{
        const char *directory = o->directory, *cgroup = o->cgroup;
        const struct sluice_env *env = o->env;
        struct sluice_env *copy = NULL;
        int r = env_copy(&copy, env, o->env_nr);

        o->env = copy;
        o->env_nr = r < 0 ? 0 : o->env_nr;
        r = r < 0 ? r : keep_text(&directory);
        o->directory = r < 0 ? NULL : directory;
        r = r < 0 ? r : keep_text(&cgroup);
        o->cgroup = r < 0 ? NULL : cgroup;
        return r;
}

int plan_new(struct sluice_plan **ret, const struct sluice_options *opt)
{
        struct sluice_plan *p = calloc(1, sizeof(*p));

        if (!p)
                return -ENOMEM;
        p->refs = 1;
        if (opt)
                p->opt = *opt;
        if (keep_options(&p->opt) < 0) {
                plan_unref(p);
                return -ENOMEM;
        }
        if (p->opt.grace_ms == 0)
                p->opt.grace_ms = 2000;
        *ret = p;
        return 0;
}

struct sluice_plan *plan_ref(struct sluice_plan *p)
{
        p->refs++;
        return p;
}

void plan_unref(struct sluice_plan *p)
{
        if (!p || --p->refs > 0)
                return;
        for (size_t i = 0; i < p->stages_nr; i++) {
                config_drop(p->stages[i].ops, p->stages[i].config);
                free(p->stages[i].name);
        }
        free(p->stages);
        free(p->links);
        free(p->ignores);
        env_free((struct sluice_env *)(uintptr_t)p->opt.env, p->opt.env_nr);
        free((char *)(uintptr_t)p->opt.directory);
        free((char *)(uintptr_t)p->opt.cgroup);
        free(p);
}

int config_dup(const struct sluice_stage_ops *ops, const void *config, void **ret)
{
        if (!ops->config_copy) {
                *ret = (void *)(uintptr_t)config;
                return 0;
        }
        return ops->config_copy(ret, config);
}

void config_drop(const struct sluice_stage_ops *ops, void *config)
{
        if (ops->config_copy && ops->config_free && config)
                ops->config_free(config);
}

static bool ops_are_whole(const struct sluice_stage_ops *ops)
{
        return ops && ops->size == sizeof(*ops) && ops->name && ops->describe && ops->open && ops->close;
}

int plan_add_stage(struct sluice_plan *p, const struct sluice_stage_ops *ops, const void *config, const char *name)
{
        struct stage_def *stages, d = { .ops = ops, .in_link = -1, .out_link = -1 };
        int r;

        if (p->frozen)
                return -EBUSY;
        if (!ops_are_whole(ops))
                return -EINVAL;
        stages = realloc(p->stages, (p->stages_nr + 1) * sizeof(*stages));
        if (!stages)
                return -ENOMEM;
        p->stages = stages;
        d.name = strdup(name ? name : ops->name);
        if (!d.name)
                return -ENOMEM;
        r = config_dup(ops, config, &d.config);
        if (r < 0) {
                free(d.name);
                return r;
        }
        p->stages[p->stages_nr] = d;
        return (int)p->stages_nr++;
}

int plan_add_link(struct sluice_plan *p, int from, int to)
{
        struct link_plan *links;

        if (p->frozen)
                return -EBUSY;
        if (from < 0 || to < 0 || (size_t)from >= p->stages_nr || (size_t)to >= p->stages_nr || from == to)
                return -EINVAL;
        if (p->stages[to].in_link >= 0)
                return -EEXIST;
        links = realloc(p->links, (p->links_nr + 1) * sizeof(*links));
        if (!links)
                return -ENOMEM;
        p->links = links;
        links[p->links_nr] = (struct link_plan){ .from = from, .to = to, .branch = p->stages[from].outputs++ };
        p->stages[to].in_link = (int)p->links_nr;
        if (p->stages[from].out_link < 0)
                p->stages[from].out_link = (int)p->links_nr;
        return (int)p->links_nr++;
}

void plan_drop_links(struct sluice_plan *p, size_t nr)
{
        while (nr-- > 0) {
                const struct link_plan *l = &p->links[--p->links_nr];

                p->stages[l->to].in_link = -1;
                if (--p->stages[l->from].outputs == 0)
                        p->stages[l->from].out_link = -1;
        }
}

int plan_add_ignore(struct sluice_plan *p, int stage, enum sluice_ignore what, int value)
{
        struct ignore *more;

        if (p->frozen)
                return -EBUSY;
        if (stage < 0 || (size_t)stage >= p->stages_nr || (int)what < SLUICE_IGNORE_ANY || what > SLUICE_IGNORE_PIPE)
                return -EINVAL;
        more = realloc(p->ignores, (p->ignores_nr + 1) * sizeof(*more));
        if (!more)
                return -ENOMEM;
        p->ignores = more;
        more[p->ignores_nr++] = (struct ignore){ .stage = stage, .value = value, .what = what };
        return 0;
}

int plan_describe(const struct stage_def *d, struct sluice_ctx *ctx, void *self, enum sluice_direction dir, struct sluice_side *ret)
{
        *ret = (struct sluice_side){ .size = sizeof(*ret), .offset = -1, .length = -1 };
        return d->ops->describe(ctx, self, dir, ret);
}

/* Before a run there is no context; a bare one carries the configuration and says which sides are linked. */
static int describe_planned(const struct stage_def *d, int index, enum sluice_direction dir, struct sluice_side *ret, char *note,
                            size_t cap)
{
        struct sluice_ctx ctx = { .def = d, .config = d->config, .index = index };
        int r;

        list_init(&ctx.calls);
        list_init(&ctx.fds);
        r = plan_describe(d, &ctx, NULL, dir, ret);
        if (r == 0 && ret->io == 0)
                r = -ENOTSUP;
        if (r < 0)
                snprintf(note, cap, "%s",
                         ctx.note[0]           ? ctx.note
                         : dir == SLUICE_INPUT ? "takes no input: it can only be a source"
                                               : "gives no output: it can only be a sink");
        return r;
}

/* Backwards: a stage has at most one input, however many outputs. */
static bool is_upstream_of(const struct sluice_plan *p, int upstream, int stage)
{
        for (size_t steps = 0; steps <= p->stages_nr; steps++) {
                if (stage == upstream)
                        return true;
                if (p->stages[stage].in_link < 0)
                        return false;
                stage = p->links[p->stages[stage].in_link].from;
        }
        return true;
}

static int build_link(struct sluice_plan *p, struct link_plan *l, int *ret_stage, char *text, size_t cap)
{
        const struct stage_def *from = &p->stages[l->from], *to = &p->stages[l->to];
        struct sluice_side out, in;
        bool too_many = from->outputs > 1 && !from->ops->output;
        int r;

        *ret_stage = l->from;
        r = describe_planned(from, l->from, SLUICE_OUTPUT, &out, text, cap);
        if (r < 0)
                return r;
        *ret_stage = l->to;
        r = describe_planned(to, l->to, SLUICE_INPUT, &in, text, cap);
        if (r < 0)
                return r;
        l->mode = negotiate(out.io, in.io);
        l->words = (struct link_words){ l->mode, out.kind, in.kind, out.io, in.io, out.note, in.note };
        if (too_many || l->mode == SLUICE_LINK_NONE) {
                snprintf(text, cap, "%s",
                         too_many ? "what it reads from has several readers: put a tee between"
                                  : "it and its neighbour have no way in common");
                return -ENOTSUP;
        }
        if ((p->opt.flags & SLUICE_FORBID_COPY) && l->mode == SLUICE_LINK_CROSS) {
                snprintf(text, cap, "its input would be copied through userspace, which is forbidden");
                return -EOPNOTSUPP;
        }
        return 0;
}

int plan_build(struct sluice_plan *p, int *ret_stage, char *text, size_t cap)
{
        *ret_stage = -1;
        for (size_t i = 0; i < p->stages_nr; i++)
                if (p->stages[i].in_link < 0 && p->stages[i].out_link < 0 && !p->stages[i].ops->command && !p->stages[i].ops->run) {
                        *ret_stage = (int)i;
                        snprintf(text, cap, "is linked to nothing: only a command can stand alone");
                        return -EINVAL;
                }
        for (size_t i = 0; i < p->links_nr; i++)
                if (is_upstream_of(p, p->links[i].to, p->links[i].from)) {
                        snprintf(text, cap, "the links form a circle");
                        return -ELOOP;
                }
        for (size_t i = 0; i < p->links_nr; i++) {
                int r = build_link(p, &p->links[i], ret_stage, text, cap);

                if (r < 0)
                        return r;
        }
        *ret_stage = -1;
        p->frozen = true;
        return 0;
}
