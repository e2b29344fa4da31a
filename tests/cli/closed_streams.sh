#!/usr/bin/env bash
# closed_streams.sh: started without standard input, output or error, sluice does not take its own descriptors for them:
# nothing hangs, nothing is written into a stranger's file, and '-' says what is wrong.
. "$(dirname "$0")/lib.sh"

printf 'one\ntwo\n' >in

expect_status 0 bash -c 'exec "$SLUICE" run "wc -l" <&-'
[ "$(cat "$OUT")" = 0 ] || fail "wc without input counted $(cat "$OUT")"
expect_status 2 bash -c 'exec "$SLUICE" run "- | wc -l" <&-'
grep -q 'standard input is closed' "$ERR" || fail "no word of the closed input: $(cat "$ERR")"
expect_status 0 bash -c 'exec "$SLUICE" run "head -1 in" >&-'
expect_status 0 bash -c 'exec "$SLUICE" run "file:in | cat | file:out" <&- >&- 2>&-'
expect_same in out
for driver in inline ring copy; do
        expect_status 0 bash -c 'exec "$SLUICE" run --driver='$driver' "file:in | file:out2" <&- >&- 2>&-'
        expect_same in out2
done
# Cancelling works without any of them.
expect_status 124 bash -c 'exec "$SLUICE" run --timeout=50ms "sleep 100" <&- >&- 2>&-'
# A FIFO that a command was handed is the command's alone.
mkfifo fifo
cat fifo >through &
reader=$!
expect_status 0 "$SLUICE" run 'file:in | cat | file:fifo'
wait "$reader"
expect_same in through

# What sluice itself has to say, and cannot, is no success.
for words in '--version' 'doctor' 'explain "file:in | null:"' 'run --json "file:in | null:"'; do
        expect_status 1 bash -c 'exec "$SLUICE" '"$words"' >&-'
        expect_stderr 1 'standard output: Bad file descriptor'
done
