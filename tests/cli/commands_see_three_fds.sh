#!/usr/bin/env bash
# commands_see_three_fds.sh: whatever stands around it, a command has standard input, output and error and nothing else of the
# engine's: no file, pipe, socket, ring or pidfd; nor what sluice itself was started with.
. "$(dirname "$0")/lib.sh"

seq 1000 >in
exec 9</etc/passwd 19>inherited
mkdir spool

# Says which descriptors a program has that it starts, and copies. ls has one more, of the directory that it lists.
cat >fds <<'EOS'
#!/bin/sh
echo "fds: $(ls /proc/self/fd | tr '\n' ' ')" >&2
exec cat
EOS
chmod +x fds

# all_three FILE [HOW-MANY]: that many of them have spoken, and all have said the same.
all_three()
{
        local all three

        all=$(grep -c '^fds: ' "$1")
        three=$(grep -cx 'fds: 0 1 2 3 ' "$1")
        [ "$all" = "$three" ] && [ "$all" -gt 0 ] && [ "$all" = "${2:-$all}" ]
}

# three PIPELINE [HOW-MANY]
three()
{
        expect_status 0 "$SLUICE" run "$1"
        all_three "$ERR" "${2:-1}" || fail "$1: $(cat "$ERR")"
}

three 'file:in | ./fds | file:out'
three 'file:in,snapshot | ./fds | file:out,atomic'
three 'cat in | ./fds | append:out2'
three 'file:in | ./fds | ./fds | null:' 2
three 'file:in | tee(./fds | file:a, count: | file:b, ./fds | null:)' 2
three 'merge(cat in, ./fds | lines:) | file:out'
three 'file:in | lines: | ./fds | checksum:xxh3 | null:'
three 'file:in | compress:3 | ./fds | decompress: | file:out'
three 'file:in | spill:spool | ./fds | throttle:10M | null:'
three 'generate:64k | drop: | ./fds | null:'
three 'tail:in,until=idle:100ms | ./fds | null:'
expect_status 0 "$SLUICE" run --no-guard 'file:in | ./fds | file:out'
all_three "$ERR" 1 || fail "without a guard: $(cat "$ERR")"
expect_status 0 "$SLUICE" exec -- ./fds <in
all_three "$ERR" 1 || fail "exec: $(cat "$ERR")"
expect_status 0 "$SLUICE" run 'file:in | par(2,part=4k, ./fds) | null:'
all_three "$ERR" || fail "par: $(cat "$ERR")"

start_unix_listener "$PWD/socket" "unix-listen:$PWD/socket | ./fds | file:got"
expect_status 0 "$SLUICE" run "file:in | ./fds | unix:$PWD/socket"
all_three "$ERR" 1 || fail "to a socket: $(cat "$ERR")"
end_listener
all_three "$ROOT/listener.err" 1 || fail "from a socket: $(cat "$ROOT/listener.err")"
expect_same in got
