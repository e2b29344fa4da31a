# Promises: where seccomp refuses io_uring the doctor says so and names a cure, what needs no ring still runs, and what
# cannot run says so in one line.
. "$(dirname "$0")/lib.sh"
command -v gcc >/dev/null || skip 'no gcc'

cat >"$ROOT/refuse.c" <<'C'
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
        struct sock_filter code[] = {
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        struct sock_fprog program = { sizeof(code) / sizeof(code[0]), code };

        if (argc < 2 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0) {
                perror("refuse");
                return 77;
        }
        execv(argv[1], argv + 1);
        return 127;
}
C
gcc -o "$ROOT/refuse" "$ROOT/refuse.c" || skip 'no seccomp headers'
"$ROOT/refuse" /bin/true || skip 'no seccomp filters here'
make_bytes 300000 in

expect_status 1 "$ROOT/refuse" "$SLUICE" doctor
grep -qE '^AMISS +io_uring' "$OUT" || fail "not amiss: $(cat "$OUT")"
grep -A1 -E '^AMISS +io_uring ' "$OUT" | grep -qE 'cure: .{10}' || fail "no cure: $(cat "$OUT")"
expect_status 1 "$ROOT/refuse" "$SLUICE" doctor --json
if command -v jq >/dev/null; then
        jq -e '.amiss and any(.findings[]; .health == "AMISS" and (.subject | startswith("io_uring")) and (.cure | length > 10)) and
                all(.findings[]; .health != "AMISS" or .cure != "")' "$OUT" >/dev/null || fail "doctor --json: $(cat "$OUT")"
fi
expect_status 0 "$ROOT/refuse" "$SLUICE" --version
expect_status 0 "$ROOT/refuse" "$SLUICE" explain 'file:in | cat | file:out'

# works_or_says SINK-FILE PIPELINE: all of it arrives, or one clear line and nothing is made.
works_or_says()
{
        limited "$ROOT/refuse" "$SLUICE" run "$2" >"$OUT" 2>"$ERR"
        STATUS=$?
        case $STATUS in
        0) expect_same in "$1" ;;
        1) expect_stderr 1 '^sluice: .*(io_uring|doctor)' ;;
        *) fail "'$2': exit status $STATUS, $(cat "$ERR")" ;;
        esac
        rm -f "$1"
}

expect_status 0 "$ROOT/refuse" "$SLUICE" run 'file:in | cat | file:out'
expect_same in out
rm -f out
expect_status 0 "$ROOT/refuse" "$SLUICE" run 'cat in | cat | file:out'
expect_same in out
rm -f out
expect_status 1 "$ROOT/refuse" "$SLUICE" run 'file:missing | cat | file:out'
expect_stderr 1 '^sluice: file:missing: '
works_or_says out 'file:in | file:out'
works_or_says out 'file:in | file:out,atomic'
works_or_says out 'cat in | file:out,observe'
start_listener 'tcp-listen:127.0.0.1:PORT | file:out' --timeout=20s && {
        limited "$ROOT/refuse" "$SLUICE" run "file:in | tcp:127.0.0.1:$PORT" >"$OUT" 2>"$ERR"
        STATUS=$?
        if [ $STATUS = 0 ]; then
                end_listener
                expect_same in out
        else
                [ $STATUS = 1 ] || fail "file | tcp: exit status $STATUS, $(cat "$ERR")"
                expect_stderr 1 '^sluice: .*(io_uring|doctor)'
                kill $LISTENER 2>/dev/null
                wait $LISTENER 2>/dev/null
        fi
}
true
