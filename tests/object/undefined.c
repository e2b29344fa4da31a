/* undefined.c: an object that names a function which nobody has: the loader refuses it. */
int nowhere_at_all(void);
int f_calls_nowhere(void *arg, void *io);

int f_calls_nowhere(void *arg, void *io)
{
        (void)arg;
        (void)io;
        return nowhere_at_all();
}
