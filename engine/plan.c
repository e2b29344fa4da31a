/* engine/plan.c: see plan.h. Called by pipeline.c and run.c; calls negotiate.c and the stages' describe(). */
#include "plan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "budget.h"
#include "check.h"
#include "environ.h"
#include "probe.h"
#include "run.h"
#include "shape.h"

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

/* The pipelines that stand in others share the configurations of their stages with them: what a copy was made from is known to
 * nobody but its maker, and what it owns (an fd) it owns once. */
static void drop_config(struct stage_def *d)
{
        if (atomic_fetch_sub(d->config_refs, 1) > 1)
                return;
        config_drop(d->ops, d->config);
        free(d->config_refs);
}

void plan_unref(struct sluice_plan *p)
{
        if (!p || --p->refs > 0)
                return;
        for (size_t i = 0; i < p->stages_nr; i++) {
                drop_config(&p->stages[i]);
                free(p->stages[i].name);
                free(p->stages[i].in.links);
                free(p->stages[i].out.links);
        }
        free(p->stages);
        free(p->links);
        free(p->ignores);
        free(p->above);
        env_free((struct sluice_env *)(uintptr_t)p->opt.env, p->opt.env_nr);
        free((char *)(uintptr_t)p->opt.directory);
        free((char *)(uintptr_t)p->opt.cgroup);
        free(p);
}

int config_dup(const struct sluice_stage_ops *ops, const void *config, void **ret)
{
        void *copy;

        if (ops->config_copy)
                return ops->config_copy(ret, config);
        *ret = (void *)(uintptr_t)config;
        if (ops->config_size == 0)
                return 0;
        if (!config)
                return -EINVAL;
        copy = malloc(ops->config_size);
        if (!copy)
                return -ENOMEM;
        *ret = memcpy(copy, config, ops->config_size);
        return 0;
}

void config_drop(const struct sluice_stage_ops *ops, void *config)
{
        if (ops->config_copy && ops->config_free && config)
                ops->config_free(config);
        else if (!ops->config_copy && ops->config_size)
                free(config);
}

static bool ops_are_whole(const struct sluice_stage_ops *ops)
{
        return ops && ops->size == sizeof(*ops) && ops->name && ops->describe && ops->open && ops->close;
}

/* Takes over nothing on failure. */
static int add_def(struct sluice_plan *p, struct stage_def d, const char *name)
{
        struct stage_def *stages = realloc(p->stages, (p->stages_nr + 1) * sizeof(*stages));

        if (!stages)
                return -ENOMEM;
        p->stages = stages;
        d.name = strdup(name);
        if (!d.name)
                return -ENOMEM;
        d.in_link = d.out_link = -1;
        d.exit = (int)p->stages_nr;
        p->stages[p->stages_nr] = d;
        return (int)p->stages_nr++;
}

int plan_add_stage(struct sluice_plan *p, const struct sluice_stage_ops *ops, const void *config, const char *name)
{
        struct stage_def d = { .ops = ops };
        int r;

        if (p->frozen)
                return -EBUSY;
        if (!ops_are_whole(ops))
                return -EINVAL;
        d.config_refs = malloc(sizeof(*d.config_refs));
        if (!d.config_refs)
                return -ENOMEM;
        atomic_init(d.config_refs, 1);
        r = add_def(p, d, name ? name : ops->name);
        if (r < 0)
                goto out;
        r = config_dup(ops, config, &p->stages[p->stages_nr - 1].config);
        if (r == 0)
                return (int)p->stages_nr - 1;
        free(p->stages[--p->stages_nr].name);
out:
        free(d.config_refs);
        return r;
}

static bool takes_many(const struct stage_def *d)
{
        return d->ops->traits & SLUICE_MANY_INPUTS;
}

/* Room for one more, so that what follows cannot fail. */
static int joints_reserve(struct joints *j)
{
        int *links = realloc(j->links, (j->nr + 1) * sizeof(*links));

        if (!links)
                return -ENOMEM;
        j->links = links;
        return 0;
}

static unsigned joints_add(struct joints *j, int link, int *first)
{
        if (j->nr == 0)
                *first = link;
        j->links[j->nr] = link;
        return j->nr++;
}

static void joints_drop_last(struct joints *j, int *first)
{
        if (--j->nr == 0)
                *first = -1;
}

int plan_add_link(struct sluice_plan *p, int from, int to)
{
        struct stage_def *a, *b;
        struct link_plan *links;
        int nr = (int)p->links_nr;

        if (p->frozen)
                return -EBUSY;
        if (from < 0 || to < 0 || (size_t)from >= p->stages_nr || (size_t)to >= p->stages_nr || from == to)
                return -EINVAL;
        from = p->stages[from].exit;
        if (from == to)
                return -EINVAL;
        a = &p->stages[from];
        b = &p->stages[to];
        if (b->in.nr > 0 && !takes_many(b))
                return -EEXIST;
        links = realloc(p->links, (p->links_nr + 1) * sizeof(*links));
        if (!links)
                return -ENOMEM;
        p->links = links;
        if (joints_reserve(&a->out) < 0 || joints_reserve(&b->in) < 0)
                return -ENOMEM;
        links[nr] = (struct link_plan){ .from = from, .to = to };
        links[nr].branch = joints_add(&a->out, nr, &a->out_link);
        links[nr].input = joints_add(&b->in, nr, &b->in_link);
        return (int)p->links_nr++;
}

void plan_drop_links(struct sluice_plan *p, size_t nr)
{
        while (nr-- > 0) {
                const struct link_plan *l = &p->links[--p->links_nr];

                joints_drop_last(&p->stages[l->to].in, &p->stages[l->to].in_link);
                joints_drop_last(&p->stages[l->from].out, &p->stages[l->from].out_link);
        }
}

/* ---- a pipeline as a stage of another ---- */

static int copy_stages(struct sluice_plan *p, const struct sluice_plan *from)
{
        for (size_t i = 0; i < from->stages_nr; i++) {
                const struct stage_def *d = &from->stages[i];
                int r = add_def(p, (struct stage_def){ .ops = d->ops, .config = d->config, .config_refs = d->config_refs },
                                d->name);

                if (r < 0)
                        return r;
                atomic_fetch_add(d->config_refs, 1);
        }
        return 0;
}

static int copy_links(struct sluice_plan *p, const struct sluice_plan *from, int base)
{
        for (size_t i = 0; i < from->links_nr; i++) {
                int r = plan_add_link(p, base + from->links[i].from, base + from->links[i].to);

                if (r < 0)
                        return r;
        }
        for (size_t i = 0; i < from->ignores_nr; i++) {
                int r = plan_add_ignore(p, base + from->ignores[i].stage, from->ignores[i].what, from->ignores[i].value);

                if (r < 0)
                        return r;
        }
        return 0;
}

static void drop_stages(struct sluice_plan *p, size_t nr)
{
        while (p->stages_nr > nr) {
                struct stage_def *d = &p->stages[--p->stages_nr];

                drop_config(d);
                free(d->name);
                free(d->in.links);
                free(d->out.links);
        }
}

/* Its stages become ours, linked as they are: so what is inside negotiates with what is outside. The first that has no input
 * stands for the whole, and as the source of a link it means the last that has no output. */
int plan_add_plan(struct sluice_plan *p, const struct sluice_plan *inner)
{
        size_t links = p->links_nr, ignores = p->ignores_nr;
        int base = (int)p->stages_nr, first = -1, last = -1, r;

        if (p->frozen)
                return -EBUSY;
        for (size_t i = 0; i < inner->stages_nr; i++) {
                if (inner->stages[i].in.nr == 0 && first < 0)
                        first = base + (int)i;
                if (inner->stages[i].out.nr == 0)
                        last = base + (int)i;
        }
        if (p == inner || first < 0 || last < 0)
                return -EINVAL;
        r = copy_stages(p, inner);
        r = r < 0 ? r : copy_links(p, inner, base);
        if (r < 0) {
                plan_drop_links(p, p->links_nr - links);
                p->ignores_nr = ignores;
                drop_stages(p, (size_t)base);
                return r;
        }
        p->stages[first].exit = last;
        return first;
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

/* A stage that can work on fds or on memory does the same on all its sides. */
static bool works_either_way(const struct stage_def *d)
{
        return d->ops->process && (d->ops->fd || d->ops->output);
}

/* What no run would splice is not announced as spliced. An empty source (null:) is never read. */
static void correct_device(struct sluice_side *side)
{
        if (side->kind != SLUICE_KIND_DEVICE || !(side->io & SLUICE_IO_FD) || side->length == 0 || probe_zero_splices())
                return;
        side->io = (side->io & ~(uint32_t)SLUICE_IO_FD) | SLUICE_IO_COPY;
        side->note = "this kernel does not splice from /dev/zero";
}

int plan_describe(const struct stage_def *d, struct sluice_ctx *ctx, void *self, enum sluice_direction dir, struct sluice_side *ret)
{
        int r;

        *ret = (struct sluice_side){ .size = sizeof(*ret), .offset = -1, .length = -1 };
        r = d->ops->describe(ctx, self, dir, ret);
        if (r == 0 && works_either_way(d))
                ret->io &= d->memory ? SLUICE_IO_MEM : ~(uint32_t)SLUICE_IO_MEM;
        if (!d->ops->command && !d->ops->run)
                ret->io &= ~(uint32_t)SLUICE_IO_INHERIT; /* there is nothing to start, and no child to give an fd to */
        if (ret->io & SLUICE_IO_INHERIT && d->ops->command)
                ret->io &= ~(uint32_t)SLUICE_IO_MEM; /* another process: only a thread of ours has our memory */
        if (r == 0 && dir == SLUICE_OUTPUT)
                correct_device(ret);
        return r;
}

/* Before a run there is no context; a bare one carries the configuration and says which sides are linked. */
static int describe_planned(const struct stage_def *d, int index, enum sluice_direction dir, struct sluice_side *ret, char *note,
                            size_t cap)
{
        struct sluice_ctx ctx = { .def = d, .config = d->config, .index = index };
        int r;

        list_init(&ctx.calls);
        list_init(&ctx.fds);
        list_init(&ctx.parts);
        r = plan_describe(d, &ctx, NULL, dir, ret);
        if (r == 0 && ret->io == 0)
                r = -ENOTSUP;
        if (r < 0)
                snprintf(note, cap, "%s",
                         words_any(ctx.note)   ? ctx.note
                         : dir == SLUICE_INPUT ? "takes no input: it can only be a source"
                                               : "gives no output: it can only be a sink");
        free(ctx.note);
        return r;
}

/* A neighbour that has neither an fd nor is a process decides for one that can work either way. */
static bool has_fd(const struct stage_def *d, int index, enum sluice_direction dir)
{
        struct sluice_side side;
        char text[NOTE_BYTES];

        return describe_planned(d, index, dir, &side, text, sizeof(text)) < 0 ||
               side.io & (SLUICE_IO_FD | SLUICE_IO_LEND | SLUICE_IO_INHERIT | SLUICE_IO_COPY);
}

static void choose_memory(struct sluice_plan *p)
{
        for (size_t i = 0; i < p->links_nr; i++) {
                const struct link_plan *l = &p->links[i];
                struct stage_def *from = &p->stages[l->from], *to = &p->stages[l->to];

                if (works_either_way(from) && !has_fd(to, l->to, SLUICE_INPUT))
                        from->memory = true;
                if (works_either_way(to) && !has_fd(from, l->from, SLUICE_OUTPUT))
                        to->memory = true;
        }
}

unsigned plan_inside(const struct sluice_plan *p, int stage, const struct sluice_plan **ret)
{
        const struct stage_def *d = &p->stages[stage];

        *ret = NULL;
        return d->ops->runs ? d->ops->runs(d->config, ret) : 0;
}

/* The stage, or NULL, whose input is copied somewhere in what a stage of `p` runs. Those plans were built without our options. */
static const struct stage_def *copied_inside(const struct sluice_plan *p)
{
        const struct stage_def *found = NULL;
        const struct sluice_plan *inner;

        for (size_t i = 0; i < p->links_nr; i++)
                if (p->links[i].mode == SLUICE_LINK_CROSS)
                        return &p->stages[p->links[i].to];
        for (size_t i = 0; i < p->stages_nr && !found; i++)
                if (plan_inside(p, (int)i, &inner))
                        found = copied_inside(inner);
        return found;
}

static int check_inside(const struct sluice_plan *p, int *ret_stage, char *text, size_t cap)
{
        for (size_t i = 0; i < p->stages_nr && p->opt.flags & SLUICE_FORBID_COPY; i++) {
                const struct sluice_plan *inner;
                const struct stage_def *d = plan_inside(p, (int)i, &inner) ? copied_inside(inner) : NULL;

                if (!d)
                        continue;
                *ret_stage = (int)i;
                snprintf(text, cap, "inside it, the input of %s would be copied through userspace, which is forbidden", d->name);
                return -EOPNOTSUPP;
        }
        return 0;
}

static int build_link(struct sluice_plan *p, struct link_plan *l, int *ret_stage, char *text, size_t cap)
{
        const struct stage_def *from = &p->stages[l->from], *to = &p->stages[l->to];
        struct sluice_side out, in;
        bool too_many = from->out.nr > 1 && !(from->ops->traits & SLUICE_MANY_OUTPUTS);
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
        l->words = (struct link_words){ l->mode,  out.kind, in.kind, negotiate_use(l->mode, out.io), negotiate_use(l->mode, in.io),
                                        out.note, in.note };
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

/* At one end of a link that hands over. */
static bool has_thread(const struct sluice_plan *p, const struct link_plan *l)
{
        const struct sluice_stage_ops *from = p->stages[l->from].ops, *to = p->stages[l->to].ops;

        return l->mode == SLUICE_LINK_HANDOVER && ((from->run && !from->command) || (to->run && !to->command));
}

/* A mode that gets worse when the fds are open (SPLICE to CROSS) has two fds: it adds nothing. */
static struct budget_terms budget_of(const struct sluice_plan *p)
{
        struct budget_terms t = { .buffer_bytes = BUFFER_BYTES };

        for (size_t i = 0; i < p->links_nr; i++) {
                const struct link_words *w = &p->links[i].words;

                if (has_thread(p, &p->links[i]))
                        t.rings_nr++;
                else if (w->out_io & SLUICE_IO_MEM)
                        t.written_nr++;
                else if (w->in_io & SLUICE_IO_MEM)
                        t.read_nr++;
        }
        for (size_t i = 0; i < p->stages_nr; i++) {
                const struct stage_def *d = &p->stages[i];
                const struct sluice_plan *inner;
                unsigned copies;

                if (d->ops->holds && __builtin_add_overflow(t.held_bytes, d->ops->holds(d->config), &t.held_bytes))
                        t.held_bytes = UINT64_MAX;
                copies = plan_inside(p, (int)i, &inner);
                t.inner_nr += copies ? copies * inner->buffers_nr : 0;
        }
        return t;
}

static int check_budget(struct sluice_plan *p, char *text, size_t cap)
{
        uint64_t allowed = p->opt.buffers_bytes ? p->opt.buffers_bytes : BUFFERS_BYTES;
        struct budget_terms t = budget_of(p);
        struct budget b;
        int r = budget_fit(&t, allowed, MEM_SEGMENTS_MAX, &b);

        if (r < 0) {
                budget_words(&t, allowed, text, cap);
                return r;
        }
        p->buffers_nr = b.buffers_nr;
        p->queue_depth = b.queue_depth;
        return 0;
}

static void unbuild(struct sluice_plan *p)
{
        free(p->above);
        p->above = NULL;
        for (size_t i = 0; i < p->stages_nr; i++) {
                p->stages[i].depth = 0;
                p->stages[i].memory = false;
        }
}

static int build(struct sluice_plan *p, int *ret_stage, char *text, size_t cap)
{
        int r;

        for (size_t i = 0; i < p->stages_nr; i++)
                if (p->stages[i].in.nr + p->stages[i].out.nr == 0 && !p->stages[i].ops->command && !p->stages[i].ops->run) {
                        *ret_stage = (int)i;
                        snprintf(text, cap, "is linked to nothing: only a command can stand alone");
                        return -EINVAL;
                }
        r = shape_find(p, ret_stage, text, cap);
        if (r < 0)
                return r;
        choose_memory(p);
        for (size_t i = 0; i < p->links_nr && r == 0; i++)
                r = build_link(p, &p->links[i], ret_stage, text, cap);
        r = r < 0 ? r : check_inside(p, ret_stage, text, cap);
        if (r < 0)
                return r;
        *ret_stage = -1;
        return check_budget(p, text, cap);
}

int plan_build(struct sluice_plan *p, int *ret_stage, char *text, size_t cap)
{
        int r;

        *ret_stage = -1;
        r = build(p, ret_stage, text, cap);
        if (r < 0) {
                unbuild(p);
                return r;
        }
        *ret_stage = -1;
        p->frozen = true;
        return 0;
}
