#!/usr/bin/env bash
# nothing_keeps_it.sh: a run that is told to end, or has failed, ends, whoever holds what it waits for: a FIFO that nobody
# opens, a stderr that nobody reads, a peer that never stops talking. And a writer killed by SIGPIPE whose reader was still
# there has failed: its truncated output does not replace a file.
. "$(dirname "$0")/lib.sh"

printf 'one\n' >in
mkfifo fifo

# An open that nobody answers.
expect_status 124 "$SLUICE" run --timeout=50ms 'file:fifo | file:out'
expect_status 1 "$SLUICE" run 'file:fifo | tcp:127.0.0.1:1'
expect_status 124 "$SLUICE" run --timeout=50ms 'file:in | cat | file:fifo'
"$SLUICE" run 'file:fifo | file:out' 2>"$ERR" &
job=$!
# Blocked in open(2): a second thread is there for it.
until_true eval "[ \"\$(ls /proc/$job/task 2>/dev/null | wc -l)\" -ge 2 ]"
kill -TERM "$job"
wait "$job"
status=$?
[ "$status" = 143 ] || fail "SIGTERM while a FIFO is opened: status $status"

# A stderr that nobody reads: the command is ended all the same. (The last word of sluice itself goes to the same stderr
# and waits for it like anybody's: it is read once the command is gone.)
mkfifo mute
printf '#!/bin/sh\necho $$ >talker.pid\nseq 1 200000 >&2\nsleep 1000\n' >talker
chmod +x talker
exec 7<>mute
{
        until_true test -s talker.pid && until_true eval '! kill -0 $(cat talker.pid)'
        cat mute >said &
        echo $! >cat.pid
} >/dev/null &
expect_status 124 bash -c 'exec "$SLUICE" run --timeout=300ms "./talker | file:out2" 2>mute'
wait
kill "$(cat cat.pid)" 2>/dev/null
exec 7>&-

# The reader saw an end that was none: it still has the pipe when the writer is found dead.
printf 'precious\n' >target
printf '#!/bin/sh\necho $$ >writer.pid\necho part\nkill -PIPE $$\n' >writer
chmod +x writer
mkfifo release
{
        until_true eval 'grep -qs "^State:.Z" /proc/$(cat writer.pid)/status'
        sleep 0.2
        echo go >release
} &
expect_status 141 "$SLUICE" run './writer | sh -c "cat; read x <release" | file:target,atomic'
wait
grep -q precious target || fail 'a truncated stream replaced the target'
# ... and a reader that had enough excuses it, however it was told.
expect_status 0 "$SLUICE" run 'yes | head -1 | file:first'
expect_status 0 "$SLUICE" run 'sh -c "yes | cat" | head -1 | file:first,atomic'

# A command that is stopped where no terminal could go on with it: the deadline passes all the same.
expect_status 124 setsid -w "$SLUICE" run --timeout=200ms 'sh -c "kill -STOP \$\$" | null:'
