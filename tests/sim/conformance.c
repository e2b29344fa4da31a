/* tests/sim/conformance.c: keeps the model honest: every experiment in both kernels, and any difference fails.
 *
 *      sim_conformance                 all of them
 *      sim_conformance --mutations     each broken rule of the model must make a difference somewhere
 *      sim_conformance --list, NAME    their names; one of them, with what it says in the real kernel */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lab.h"

enum { SKIP = 77 };

static char small_disk[] = "/tmp/sluice-lab-XXXXXX";
static bool has_small_disk;

/* In a mount namespace of our own: it goes with us. */
static void make_small_disk(void)
{
        if (!mkdtemp(small_disk))
                return;
        has_small_disk = unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
                         mount("tmpfs", small_disk, "tmpfs", 0, "size=64k,mode=700") == 0;
}

static void remove_small_disk(void)
{
        if (has_small_disk)
                umount2(small_disk, MNT_DETACH);
        rmdir(small_disk);
}

static bool has_blocks(void)
{
        static const char odd[100];
        int fd = open(".", O_TMPFILE | O_RDWR | O_DIRECT | O_CLOEXEC, 0600);
        bool refused = fd >= 0 && pwrite(fd, odd, sizeof(odd), 0) < 0;

        if (fd >= 0)
                close(fd);
        return refused;
}

static void experiment(const struct scenario *s, enum sim_mutation m, bool simulated, struct lab *l)
{
        lab_open(l, m, simulated, has_small_disk ? small_disk : NULL);
        s->run(l);
        lab_close(l);
}

static bool differs(const struct scenario *s, enum sim_mutation m, bool tell)
{
        static struct lab real, simulated;

        if (s->needs_small_disk && !has_small_disk) {
                if (tell)
                        printf("skipped: %s: no small disk can be mounted\n", s->name);
                return false;
        }
        if (s->needs_blocks && !has_blocks()) {
                if (tell)
                        printf("skipped: %s: files here have no blocks\n", s->name);
                return false;
        }
        experiment(s, SIM_RIGHT, false, &real);
        experiment(s, m, true, &simulated);
        if (strcmp(real.text, simulated.text) == 0)
                return false;
        if (tell)
                printf("DIFFERS: %s\n---- the kernel says\n%s---- the model says\n%s----\n", s->name, real.text, simulated.text);
        return true;
}

/* The name of the first that differs, by way of a child: a broken model may break its own laws. */
static bool is_noticed(enum sim_mutation m)
{
        int status;
        pid_t pid;

        fflush(stdout);
        pid = fork();
        if (pid == 0) {
                for (unsigned i = 0; i < scenarios_nr; i++)
                        if (differs(&scenarios[i], m, false)) {
                                printf("%s: %s\n", sim_mutation_name(m), scenarios[i].name);
                                fflush(stdout);
                                _exit(1);
                        }
                _exit(0);
        }
        if (pid < 0 || waitpid(pid, &status, 0) != pid)
                return false;
        if (WIFSIGNALED(status))
                printf("%s: the model breaks a law of its own\n", sim_mutation_name(m));
        return status != 0;
}

static int try_mutations(void)
{
        int missed = 0;

        for (int m = SIM_RIGHT + 1; m < SIM_MUTATIONS; m++) {
                if (is_noticed((enum sim_mutation)m) || (m == SIM_BAD_SHORT_DROPS && !has_small_disk))
                        continue;
                printf("NOT NOTICED: %s\n", sim_mutation_name((enum sim_mutation)m));
                missed++;
        }
        return missed;
}

static int run_all(const char *only)
{
        unsigned differences = 0, nr = 0;

        for (unsigned i = 0; i < scenarios_nr; i++) {
                static struct lab real;

                if (only && strcmp(only, scenarios[i].name) != 0)
                        continue;
                nr++;
                differences += differs(&scenarios[i], SIM_RIGHT, true);
                if (only) {
                        experiment(&scenarios[i], SIM_RIGHT, false, &real);
                        fputs(real.text, stdout);
                }
        }
        printf("%u scenarios, %u differ\n", nr, differences);
        return differences || nr == 0;
}

int main(int argc, char **argv)
{
        const char *what = argc > 1 ? argv[1] : NULL;
        struct backend *b;
        int r;

        if (what && strcmp(what, "--list") == 0) {
                for (unsigned i = 0; i < scenarios_nr; i++)
                        puts(scenarios[i].name);
                return 0;
        }
        signal(SIGPIPE, SIG_IGN);
        make_small_disk();
        if (backend_new(&b, false, BACKEND_URING) < 0)
                return SKIP;
        backend_free(b);
        r = what && strcmp(what, "--mutations") == 0 ? try_mutations() : run_all(what);
        remove_small_disk();
        return r ? 1 : 0;
}
