/* needs.c: a function that needs an object beside its own. */
struct sluice_stream;
int needed(void);
int f_needs(void *arg, struct sluice_stream *io);

int f_needs(void *arg, struct sluice_stream *io)
{
        (void)arg;
        (void)io;
        return needed();
}
