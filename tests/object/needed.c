/* needed.c: what needs.c needs. */
int needed(void);

int needed(void)
{
        return -300;
}
