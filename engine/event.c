/* engine/event.c: telling the host what happens to stages. Called by whoever sees it; calls the host. */
#include "run.h"

void event_send(struct run *r, const struct sluice_event *e)
{
        struct sluice_event copy = *e;

        if (!r->opt->event)
                return;
        copy.size = sizeof(copy);
        copy.stage_name = e->stage >= 0 ? r->plan->stages[e->stage].name : "";
        copy.message = e->message ? e->message : "";
        if (e->kind != SLUICE_EVENT_EXIT || e->signal)
                copy.exit_status = -1;
        r->opt->event(r->opt->event_arg, &copy);
}
