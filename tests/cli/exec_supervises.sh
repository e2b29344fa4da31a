#!/usr/bin/env bash
# exec_supervises.sh: `sluice exec` runs one command with the caller's own streams, ends with its status, and takes
# everything that the command made with it: at its own end, by keep-alive, by deadline, by memory limit, by SIGTERM and by
# SIGKILL of sluice itself.
. "$(dirname "$0")/lib.sh"

exec_it()
{
        limited "$SLUICE" exec "$@"
}

# Nothing of the test runs; asked at once, since sluice has promised it by ending.
nothing_runs()
{
        no_processes || fail "$1: something lives on: $(marked_processes | tr '\n' ' ')"
}

# within_2s CMD...: asks again until CMD is true, for two seconds at most.
within_2s()
{
        local until=$((${EPOCHREALTIME//[.,]/} + 2000000))

        until "$@"; do
                [ "${EPOCHREALTIME//[.,]/}" -lt "$until" ] || return 1
                pause
        done
}

# script NAME: an executable file from stdin.
script()
{
        {
                echo '#!/bin/sh'
                cat
        } >"$1"
        chmod +x "$1"
}

# A tree: two that sleep, one in a session of its own, one that forked twice. It says "up" when all are there.
script tree <<'SH'
sleep 1000 &
setsid sleep 1000 &
(setsid sh -c 'sleep 1000 & exit' &)
echo up >up
sleep 1000
SH
# One that will not be asked.
script stubborn <<'SH'
trap '' TERM HUP INT
sleep 1000 &
echo up >up
while :; do sleep 1000; done
SH
# Holds 150 MiB in a descendant and stays.
script glutton <<'SH'
head -c 200M /dev/zero | tail -c 150M | sleep 1000
SH

is_up()
{
        until_true test -s up || fail "$1 did not start: $(cat "$ERR")"
}

printf 'one\ntwo\n' >in

# ---- the command's own status ----
expect_status 0 "$SLUICE" exec -- true
expect_stderr 0 ''
for status in 1 7 42 255; do
        expect_status "$status" "$SLUICE" exec -- sh -c "exit $status"
done
for signal in KILL:9 TERM:15 SEGV:11 INT:2; do
        expect_status $((128 + ${signal#*:})) "$SLUICE" exec -- sh -c "kill -${signal%:*} \$\$"
done
touch not-executable
expect_status 126 "$SLUICE" exec -- ./not-executable
expect_stderr 1 '^sluice: .*not-executable'
expect_status 126 "$SLUICE" exec -- "$T"
expect_stderr 1 '^sluice: '
expect_status 127 "$SLUICE" exec -- no-such-command-here
expect_stderr 1 '^sluice: .*no-such-command-here'
expect_status 127 "$SLUICE" exec -- ./no-such-command
expect_stderr 1 '^sluice: .*no-such-command'

# ---- the caller's streams ----
expect_status 0 "$SLUICE" exec -- sh -c 'echo out; echo err >&2'
[ "$(cat "$OUT")" = out ] || fail "stdout: $(cat "$OUT")"
[ "$(cat "$ERR")" = err ] || fail "stderr: $(cat "$ERR")"
printf 'one\ntwo\nthree\n' | exec_it -- wc -l >"$OUT"
[ "$(tr -d ' ' <"$OUT")" = 3 ] || fail "stdin by a pipe: $(cat "$OUT")"
exec_it -- readlink /proc/self/fd/0 <in >"$OUT"
[ "$(cat "$OUT")" = "$(pwd -P)/in" ] || fail "stdin is not the caller's own: $(cat "$OUT")"
exec_it -- cat <in >out
expect_same in out

# ---- what follows -- is the command's ----
expect_status 0 "$SLUICE" exec -- echo --json --deadline=soon -v -- x
[ "$(cat "$OUT")" = '--json --deadline=soon -v -- x' ] || fail "arguments: $(cat "$OUT")"
expect_status 0 "$SLUICE" exec --grace=1s -- printf '<%s>' 'a b' '' '*' '$x' '|'
[ "$(cat "$OUT")" = '<a b><><*><$x><|>' ] || fail "arguments: $(cat "$OUT")"

# ---- --env, --chdir ----
mkdir sub
expect_status 0 "$SLUICE" exec --chdir=sub -- pwd
[ "$(cat "$OUT")" = "$(cd sub && pwd -P)" ] || fail "--chdir: $(cat "$OUT")"
export UNWANTED=here
expect_status 0 "$SLUICE" exec --env=A=first --env=A=b=c --env=EMPTY= --env=UNWANTED -- \
        sh -c 'echo "$A,${EMPTY-unset},${UNWANTED-unset}"'
[ "$(cat "$OUT")" = 'b=c,,unset' ] || fail "--env: $(cat "$OUT")"
unset UNWANTED

# ---- its own end ends the rest ----
for options in '' --no-guard; do
        rm -f up
        # shellcheck disable=SC2086
        expect_status 4 "$SLUICE" exec $options -- sh -c 'sleep 1000 >/dev/null 2>&1 & exit 4'
        nothing_runs "exec $options, a command that ended"
done
expect_status 0 "$SLUICE" exec -- sh -c '(setsid sh -c "sleep 1000 & exit" &); exit 0'
nothing_runs 'a command that ended, having forked twice'
# A grandchild that holds stderr does not keep it.
expect_status 5 "$SLUICE" exec --grace=50ms -- sh -c '(trap "" TERM; exec sleep 1000) & exit 5'
nothing_runs 'a command that ended, and left its stderr to somebody'
expect_status 3 "$SLUICE" exec --contain=none --no-guard -- sh -c 'sleep 1000 >/dev/null 2>&1 & echo $! >left; exit 3'
kill "$(cat left)" 2>/dev/null || fail '--contain=none ended what the command left'
until_true no_processes || fail 'what --contain=none left cannot be killed'

# ---- containments: what can be had does it ----
for contain in auto cgroup guard pidns; do
        exec_it --contain=$contain -- sh -c '(setsid sh -c "sleep 1000 & exit" &); exit 6' >"$OUT" 2>"$ERR"
        status=$?
        if [ "$status" = 6 ]; then
                nothing_runs "--contain=$contain"
        else
                grep -q '^sluice: ' "$ERR" && [ "$(grep -c '' "$ERR")" = 1 ] || fail "--contain=$contain: status $status, $(cat "$ERR")"
                [ "$contain" != auto ] || fail "--contain=auto: status $status, $(cat "$ERR")"
                echo "not to be had: --contain=$contain: $(cat "$ERR")" >&2
        fi
done
expect_status 6 "$SLUICE" exec --contain=walk -- sh -c 'exit 6'

# ---- --keepalive-stdin ----
# kept_alive STATUS... -- ARGUMENT...: its stdin is a pipe that is closed once it is up.
kept_alive()
{
        local wanted=()

        while [ "$1" != -- ]; do
                wanted+=("$1")
                shift
        done
        shift
        rm -f up
        until_true test -s up | exec_it --keepalive-stdin "$@" 2>"$ERR"
        status=${PIPESTATUS[1]}
        [ -s up ] || fail "$* did not start: $(cat "$ERR")"
        [[ " ${wanted[*]} " == *" $status "* ]] || fail "keep-alive's end, $*: status $status, not ${wanted[*]}; $(cat "$ERR")"
        nothing_runs "keep-alive's end, $*"
}
kept_alive 143 -- -- sh -c 'sleep 1000 & echo up >up; sleep 1000'
kept_alive 143 -- --no-guard -- sh -c 'sleep 1000 & echo up >up; sleep 1000'
kept_alive 143 -- -- ./tree
# Who ignores SIGTERM is ended by SIGKILL, for which the end of the keep-alive is the reason all the same.
kept_alive 143 137 -- --grace=50ms -- ./stubborn
for options in '' --no-guard; do
        # shellcheck disable=SC2086
        : | exec_it --keepalive-stdin $options -- sh -c 'sleep 1000 & sleep 1000'
        status=${PIPESTATUS[1]}
        [ "$status" = 143 ] || fail "keep-alive that was over before it began: $options: status $status, not 143"
        nothing_runs 'keep-alive that was over before it began'
done
# What comes is read, so that nobody who writes is kept, and discarded: the command has /dev/null.
seq 1 200000 | exec_it --keepalive-stdin -- sleep 1000
[ "${PIPESTATUS[*]}" = '0 143' ] || fail "what comes by a kept-alive stdin: ${PIPESTATUS[*]}"
mkfifo keep
exec 8<>keep
expect_status 0 "$SLUICE" exec --keepalive-stdin -- readlink /proc/self/fd/0 <keep 8>&-
[ "$(cat "$OUT")" = /dev/null ] || fail "stdin under --keepalive-stdin: $(cat "$OUT")"
# A command that ends by itself does not wait for the end of file.
expect_status 9 "$SLUICE" exec --keepalive-stdin -- sh -c 'exit 9' <keep 8>&-
exec 8>&-

# ---- --deadline ----
expect_status 124 "$SLUICE" exec --deadline=100ms -- sleep 1000
expect_stderr 1 '^sluice: .*deadline'
nothing_runs 'a deadline'
expect_status 124 "$SLUICE" exec --deadline=100ms --grace=50ms -- ./stubborn
nothing_runs 'a deadline of who ignores SIGTERM'
# It is visible, whatever the command exits with.
expect_status 124 "$SLUICE" exec --deadline=100ms -- sh -c 'trap "exit 0" TERM; sleep 1000 & wait'
nothing_runs 'a deadline of who exits 0'
expect_status 8 "$SLUICE" exec --deadline=1h -- sh -c 'exit 8'

# ---- --max-memory ----
for options in '' --no-guard; do
        # shellcheck disable=SC2086
        expect_status 125 "$SLUICE" exec --max-memory=64M --grace=50ms $options -- ./glutton
        expect_stderr 1 '^sluice: .*memory'
        nothing_runs 'a memory limit'
done
expect_status 0 "$SLUICE" exec --max-memory=1G -- true

# ---- SIGTERM to sluice ----
# told COMMAND STATUS... [OPTION...]: SIGTERM to sluice once COMMAND is up.
told()
{
        local command=$1 pid status

        shift
        rm -f up
        "$SLUICE" exec "$@" -- "$command" >"$OUT" 2>"$ERR" &
        pid=$!
        is_up "$command"
        kill -TERM "$pid"
        wait "$pid"
        status=$?
        [ "$status" = 143 ] || fail "SIGTERM while $command runs ($*): status $status, not 143; $(cat "$ERR")"
        nothing_runs "SIGTERM while $command runs ($*)"
}

told ./tree
told ./stubborn --grace=50ms
told ./stubborn --grace=50ms --no-guard

# ---- SIGKILL to sluice ----
# The guard sees to it; where it is not wanted (--no-guard) nobody could.
for command in ./tree ./stubborn; do
        rm -f up
        "$SLUICE" exec --grace=50ms -- $command >"$OUT" 2>"$ERR" &
        pid=$!
        is_up "$command"
        kill -KILL "$pid"
        { wait "$pid"; } 2>/dev/null
        within_2s no_processes || fail "kill -9 of sluice: $command lives on: $(marked_processes | tr '\n' ' ')"
done

# ---- --json ----
if command -v jq >/dev/null; then
        # On stderr, or wherever the command does not write.
        expect_status 7 "$SLUICE" exec --json -- sh -c 'exit 7'
        cat "$OUT" "$ERR" | grep '^{' | tail -n 1 >report
        jq -e '.exit_status == 7 and any(.stages[]; .exit_status == 7)' report >/dev/null || fail "--json: $(cat "$OUT" "$ERR")"
        expect_status 0 "$SLUICE" exec --json -- cat in
        grep -v '^{' "$OUT" | cmp -s - in || fail "--json is in the way of the command's output: $(cat "$OUT")"
        expect_status 124 "$SLUICE" exec --json --deadline=100ms -- sleep 1000
        cat "$OUT" "$ERR" | grep '^{' | tail -n 1 >report
        jq -e '.exit_status == 124 and (.error | contains("deadline"))' report >/dev/null || fail "--json: $(cat "$OUT" "$ERR")"
fi

# ---- usage: what is wrong, and where to look ----
usage()
{
        local regex=$1

        shift
        expect_status 2 "$SLUICE" exec "$@"
        expect_stderr 2 "^sluice: .*$regex"
        sed -n 2p "$ERR" | grep -q "sluice exec --help" || fail "exec $*: no cure: $(cat "$ERR")"
        [ ! -s "$OUT" ] || fail "a usage error wrote to stdout: exec $*"
}
usage 'no command'
usage 'no command' --
usage 'no command' --keepalive-stdin --
usage "no option '--frobnicate'" --frobnicate -- true
usage "duration.*'soon'" --deadline=soon -- true
usage "'--deadline' needs a value" --deadline
usage "duration.*'soon'" --grace=soon -- true
usage "'lots'" --max-memory=lots -- true
usage "'jail'" --contain=jail -- true
usage '--env' --env==x -- true
expect_status 0 "$SLUICE" exec --help
for option in --keepalive-stdin --deadline --max-memory --grace --no-guard --contain --env --chdir --json; do
        grep -q -- "$option" "$OUT" || fail "exec --help does not speak of $option"
done
true
