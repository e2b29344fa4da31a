#!/usr/bin/env bash
# errors_are_one_line.sh: whatever goes wrong with a command, sluice says it in one line that names the stage and the cause;
# and a full disk is the fault of the file, whoever noticed.
. "$(dirname "$0")/lib.sh"

# one_line STATUS REGEX CMD...: fails with STATUS ("any": not 0) and one line on stderr, which is ours.
one_line()
{
        local status=$1 regex=$2

        shift 2
        limited "$@" >"$OUT" 2>"$ERR"
        STATUS=$?
        case $status in
        any) [ "$STATUS" != 0 ] && [ "$STATUS" != 137 ] || fail "$*: exit status $STATUS" ;;
        *) [ "$STATUS" = "$status" ] || fail "$*: exit status $STATUS, not $status; stderr: $(head -c 600 "$ERR")" ;;
        esac
        expect_stderr 1 "^sluice: .*$regex"
        no_processes || fail "$*: processes left: $(marked_processes | tr '\n' ' ')"
}

echo payload >in
touch not-executable
printf '#!/no/such/interpreter\n' >broken
chmod +x broken
# Holds 150 MiB in a descendant and stays.
printf '#!/bin/sh\nhead -c 200M /dev/zero | tail -c 150M | sleep 1000\n' >glutton
chmod +x glutton

# ---- a command that cannot be started: nothing of the pipeline was, and its sink is untouched ----
echo precious >kept
one_line 127 'no-such-command-here: .*not found' "$SLUICE" run 'file:in | cat | no-such-command-here | file:kept'
one_line 127 'no-such-command-here: .*not found' "$SLUICE" exec -- no-such-command-here
one_line 127 './no-such-command: ' "$SLUICE" run 'file:in | ./no-such-command | file:kept'
one_line 127 './broken: ' "$SLUICE" exec -- ./broken
one_line 126 './not-executable: .*not executable' "$SLUICE" run './not-executable | file:kept'
one_line 126 './not-executable: .*not executable' "$SLUICE" exec -- ./not-executable
one_line any 'missing' "$SLUICE" run --chdir=missing 'cat in | file:kept'
grep -q 'No such file or directory' "$ERR" || fail "a missing directory: $(cat "$ERR")"
one_line any 'missing' "$SLUICE" exec --chdir=missing -- cat in
one_line any 'in: .*Not a directory' "$SLUICE" run --chdir=in 'cat in | file:kept'
one_line any 'Not a directory' "$SLUICE" exec --chdir=in -- cat in
one_line any 'No such file or directory' "$SLUICE" run --stderr=no/such/directory 'cat in | file:kept'
[ "$(cat kept)" = precious ] || fail 'a run that could not start emptied its sink'

# ---- one that takes too much ----
one_line 125 './glutton: .*memory' "$SLUICE" run --max-memory=2:64M --grace=50ms 'null: | ./glutton | null:'
one_line 125 'memory' "$SLUICE" exec --max-memory=64M --grace=50ms -- ./glutton

# ---- one that fails or is killed ----
one_line 5 'sh: exit status 5' "$SLUICE" run 'sh -c "exit 5" | null:'
one_line 137 'sh: killed by SIGKILL' "$SLUICE" run "sh -c 'kill -KILL \$\$' | null:"

# ---- a full disk ----
[ "$(id -u)" = 0 ] && unshare -m true 2>/dev/null || skip 'the full disk: needs root, to mount a small one'
mkdir small

# full OPTION PIPELINE: on a disk of 1 MiB at small/.
full()
{
        one_line 1 'small/x: .*No space left on device' unshare -m \
                sh -c 'mount -t tmpfs -o size=1m none small && exec "$@"' - "$SLUICE" run "$1" "$2"
}
# The file that head was handed is full: head says so itself, if it may, and sluice concludes it.
full --stderr=null 'yes | head -c 1G | file:small/x'
limited unshare -m sh -c 'mount -t tmpfs -o size=1m none small && exec "$@"' - "$SLUICE" run 'yes | head -c 1G | file:small/x' 2>"$ERR"
[ "$(grep -c '^sluice: ' "$ERR")" = 1 ] || fail "not one line of ours: $(cat "$ERR")"
full --pipefail 'yes | head -c 1G | file:small/x,observe'
# Seen exactly where the bytes pass through us.
full --no-guard 'yes | head -c 1G | file:small/x,observe'
full --fail-fast 'yes | head -c 1G | file:small/x,observe'
full --no-guard 'zero:1G | file:small/x'
full --driver=copy 'zero:1G | file:small/x'
true
