/* refuse_ring.c: runs a command that may not use io_uring, as containers do it: every call of it answers EPERM.
 *
 *      refuse_ring [--errno=ENOSYS|ENOMEM] [--tee] COMMAND [ARGUMENT...]
 *
 * --tee: nor may it call tee(2), which answers EPERM.
 * 77 (skipped) where no filter can be installed. */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static const struct {
        const char *option;
        unsigned error;
} errors[] = { { "--errno=EPERM", EPERM }, { "--errno=ENOSYS", ENOSYS }, { "--errno=ENOMEM", ENOMEM } };

static unsigned error_of(const char *option)
{
        for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
                if (strcmp(errors[i].option, option) == 0)
                        return errors[i].error;
        return 0;
}

static int refuse(unsigned error, bool tee)
{
        struct sock_filter code[] = {
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, tee ? SYS_tee : UINT32_MAX, 0, 1),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
                BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, SYS_io_uring_setup, 0, 2),
                BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, SYS_io_uring_register, 1, 0), /* setup, enter, register are neighbours */
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        struct sock_fprog program = { sizeof(code) / sizeof(code[0]), code };

        return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -1 : prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

int main(int argc, char **argv)
{
        unsigned error = argc > 1 ? error_of(argv[1]) : 0;

        bool tee = false;

        argv += error ? 2 : 1;
        if (*argv && strcmp(*argv, "--tee") == 0) {
                tee = true;
                argv++;
        }
        if (!*argv) {
                fprintf(stderr, "usage: refuse_ring [--errno=ENOSYS|ENOMEM] [--tee] COMMAND...\n");
                return 2;
        }
        if (refuse(error ? error : EPERM, tee) < 0) {
                perror("refuse_ring");
                return 77;
        }
        execvp(*argv, argv);
        perror(*argv);
        return 127;
}
