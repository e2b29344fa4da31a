#!/usr/bin/env bash
# Promises: a network that does not reach, refuses, loses, resets or comes back ends a run in a known way: the stage that is
# named, the words, the exit status, the output, and a sink that is not touched before the connection is there. Between two
# network namespaces of its own. How long the kernel tries is set there: two more times, not a quarter of an hour.
HERE=$(cd "$(dirname "$0")" && pwd) || exit 1
. "$HERE/../cli/lib.sh"
. "$HERE/net.sh"

net_up
make_bytes 4000000 in
make_bytes 5 precious
cp precious kept
to="tcp:$FAR_IP:$FAR_PORT"

# far_fails WORDS: the connection is not made, the sink keeps what it had, and the stage says why.
cannot_connect()
{
        local address=$1 words=$2

        expect_status 1 "${NEAR[@]}" "$SLUICE" run "file:in | $address"
        expect_stderr 1 "^sluice: ${address%%,*}: connect: $words"
        expect_status 1 "${NEAR[@]}" "$SLUICE" run "$address | file:precious"
        expect_stderr 1 "^sluice: ${address%%,*}: connect: $words"
        expect_same kept precious
        # Where a command is the neighbour it has not started.
        expect_status 1 "${NEAR[@]}" "$SLUICE" run "sh -c 'touch started; cat in' | $address"
        [ ! -e started ] || fail "$address: a command was started without a connection"
}

# ---- no way there ----
"${NEAR[@]}" sh -c 'ip route add unreachable 10.78.0.0/24; ip route add prohibit 10.79.0.0/24; ip route add blackhole 10.80.0.0/24'
cannot_connect tcp:10.78.0.1:9 'No route to host'
cannot_connect tcp:10.79.0.1:9 'Permission denied'
cannot_connect tcp:10.80.0.1:9 'Invalid argument' # what the kernel says of a black hole
cannot_connect tcp:10.81.0.1:9 'Network is unreachable'
cannot_connect "tcp:10.77.0.9:9,timeout=100ms" 'no answer from 10.77.0.9:9 within 0.1 s'
# The name's next address is not tried for an address that does not answer, but a deadline is one for all of it.
expect_status 124 "${NEAR[@]}" "$SLUICE" run --timeout=100ms 'file:in | tcp:10.77.0.9:9'
expect_stderr 1 'deadline of 100 ms'

# ---- refused, by reset or by ICMP, in time or late ----
far_rule input tcp dport $FAR_PORT drop
cannot_connect "$to,timeout=100ms" "no answer from $FAR_IP:$FAR_PORT within 0.1 s"
expect_status 124 "${NEAR[@]}" "$SLUICE" run --timeout=100ms "file:in | $to"
far_heal
far_rule input tcp dport $FAR_PORT reject with tcp reset
cannot_connect "$to" 'Connection refused'
# A completion that says "connected" of a connection that ICMP refused comes one time in ten.
for ((i = 0; i < 5; i++)); do
        for with in port-unreachable:'Connection refused' host-unreachable:'No route to host' admin-prohibited:'No route to host'; do
                far_heal
                far_rule input tcp dport $FAR_PORT reject with icmp type "${with%%:*}"
                expect_status 1 "${NEAR[@]}" "$SLUICE" run "$to | file:precious"
                expect_stderr 1 "^sluice: $to: connect: ${with#*:}"
        done
done
expect_same kept precious
far_heal

# ---- lost in mid-stream ----
# half_way: the output has begun. What sends is held back by `throttle` so that it is still under way then.
half_way()
{
        until_true test -s out || fail 'nothing arrived'
}

# far_ends STATUS REGEX: the receiver has ended like this.
far_ends()
{
        wait "$LISTENER"
        STATUS=$?
        [ "$STATUS" = "$1" ] || fail "$driver: the receiver's exit status is $STATUS, not $1: $(cat "$ROOT/listener.err")"
        [ -z "$2" ] || grep -qE "$2" "$ROOT/listener.err" || fail "$driver: the receiver says: $(cat "$ROOT/listener.err")"
}

prefix_arrived()
{
        local size

        size=$(stat -c %s out)
        cmp -s -n "$size" in out || fail "$driver: $size bytes arrived that are not the beginning"
        [ "$size" -lt "$(stat -c %s in)" ] || fail "$driver: everything arrived, nothing was cut"
}

# send OPTION...: in the background, slowly; $SENDER.
send()
{
        "${NEAR[@]}" timeout --foreground -s KILL 60 "$SLUICE" run "--driver=$driver" "$@" >"$ROOT/sender.out" 2>"$ROOT/sender.err" &
        SENDER=$!
        half_way
}

near_ends()
{
        wait "$SENDER"
        STATUS=$?
        [ "$STATUS" = "$1" ] || fail "$driver: the sender's exit status is $STATUS, not $1: $(cat "$ROOT/sender.err")"
        [ -z "$2" ] || grep -qE "$2" "$ROOT/sender.err" || fail "$driver: the sender says: $(cat "$ROOT/sender.err")"
}

# slowly: a source that does not end before it is told to.
slowly='sh -c "head -c 2000000 in; until [ -e go ]; do sleep 0.02; done; tail -c +2000001 in"'
for driver in inline ring copy; do
        # Every packet is dropped: the sender's kernel gives up; the receiver hears nothing, and waits until it is ended.
        rm -f go out
        far_listener "tcp-listen:$FAR_IP:$FAR_PORT | file:out" "--driver=$driver"
        send "$slowly | $to"
        far_rule input tcp dport $FAR_PORT drop
        touch go
        near_ends 1 "^sluice: $to: .*(Connection timed out|before everything was delivered|No route to host)"
        kill -TERM "$LISTENER"
        far_ends 143 ''
        prefix_arrived
        far_heal

        # What the receiver's side answers by a reset.
        rm -f go out
        far_listener "tcp-listen:$FAR_IP:$FAR_PORT | file:out" "--driver=$driver"
        send "$slowly | $to"
        far_rule input tcp dport $FAR_PORT reject with tcp reset
        touch go
        near_ends 1 "^sluice: $to: .*(Connection reset by peer|Broken pipe)"
        kill -TERM "$LISTENER"
        far_ends 143 ''
        prefix_arrived
        far_heal

        # The receiver's own acknowledgements are answered by a reset: it knows at once, whoever sends finds nobody.
        rm -f go out
        far_listener "tcp-listen:$FAR_IP:$FAR_PORT | file:out" "--driver=$driver"
        send "$slowly | $to"
        near_rule input tcp sport $FAR_PORT reject with tcp reset
        touch go
        far_ends 1 "^sluice: tcp-listen:$FAR_IP:$FAR_PORT: .*Connection reset by peer"
        near_ends 1 "^sluice: $to: "
        prefix_arrived
        near_heal

        # A stall heals: nothing is lost, nothing is there twice, by drop and by a link that is down for a while.
        rm -f go out
        far_listener "tcp-listen:$FAR_IP:$FAR_PORT | file:out" "--driver=$driver"
        send "$slowly | $to"
        far_rule input tcp dport $FAR_PORT drop
        touch go
        sleep 0.1
        far_heal
        near_ends 0 ''
        far_ends 0 ''
        expect_same in out

        # One packet in fifty is lost on the way.
        rm -f out
        far_rule input tcp dport $FAR_PORT numgen random mod 50 0 drop
        far_listener "tcp-listen:$FAR_IP:$FAR_PORT | file:out" "--driver=$driver"
        "${NEAR[@]}" sh -c 'echo 8 >/proc/sys/net/ipv4/tcp_retries2; echo 4 >/proc/sys/net/ipv4/tcp_syn_retries'
        send "file:in | $to"
        near_ends 0 ''
        far_ends 0 ''
        expect_same in out
        "${NEAR[@]}" sh -c 'echo 2 >/proc/sys/net/ipv4/tcp_retries2; echo 1 >/proc/sys/net/ipv4/tcp_syn_retries'
        far_heal
done
true
