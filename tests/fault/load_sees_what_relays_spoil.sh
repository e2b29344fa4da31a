#!/usr/bin/env bash
# Promises: the load generator counts what it moved, each byte, message and connection; and a relay that loses, doubles, changes
# or keeps a byte, resets, or is not there, is told with exit status 1 and in words that name the connection.
HERE=$(cd "$(dirname "$0")" && pwd) || exit 1
. "$HERE/../cli/lib.sh"
LOAD=$(dirname "$SLUICE")/sluice-bench-load
[ -x "$LOAD" ] || skip 'sluice-bench-load is not built (google-benchmark is missing)'
command -v python3 >/dev/null || skip 'no python3'
command -v jq >/dev/null || skip 'no jq'

# json_is FILTER: true of the last command's result.
json_is()
{
        jq -es ".[0] | $1" "$OUT" >"$ROOT/jq.out" 2>&1 || fail "not so: $1; $(cat "$OUT")"
}

# ---- without a relay: the counts ----

expect_status 0 "$LOAD" bulk --bytes=3000001 --json
json_is '.ok and .direct and .bytes == 3000001 and .received == 3000001 and .opened == 1 and .failed == 0 and .wrong == 0'
json_is '.seconds > 0 and .gib_per_s > 0 and .ends.cpu_s > 0 and .relay == null'
expect_status 0 "$LOAD" bulk --bytes=5M --connections=64 --threads=2 --verify --json
json_is '.ok and .bytes == 5 * 1024 * 1024 and .received == .bytes and .opened == 64'
expect_status 0 "$LOAD" messages --messages=1001 --connections=7 --size=64 --json
json_is '.ok and .messages == 1001 and .bytes == 1001 * 64 and .opened == 7 and .latency_us.p50 > 0'
json_is '.latency_us | .p50 <= .p90 and .p90 <= .p99 and .p99 <= .["p99.9"] and .["p99.9"] <= .most'
# Larger than what the sockets hold: the sink keeps what it cannot send back yet.
expect_status 0 "$LOAD" messages --messages=5 --size=20M --json
json_is '.ok and .messages == 5 and .bytes == 5 * 20 * 1024 * 1024'
for size in 1 15 16 17; do
        expect_status 0 "$LOAD" messages --messages=30 --connections=3 --threads=3 --size=$size --json
        json_is ".ok and .messages == 30 and .bytes == 30 * $size"
done
expect_status 0 "$LOAD" idle --connections=3 --idle=50 --threads=2 --messages=100 --pid=$$ --json
json_is '.ok and .messages == 100 and .opened == 53 and .idle == 50'
json_is '.relay.rss_kib > 0 and .relay.pss_kib > 0 and .relay.rss_most_kib >= .relay.rss_kib and .relay.processes >= 1'
expect_status 0 "$LOAD" churn --connections=4 --messages=99 --json
json_is '.ok and .messages == 99 and .opened == 99 and .failed == 0'
expect_status 0 "$LOAD" bulk --bytes=1
expect_stderr 0 ''
grep -q '^moved ' "$OUT" || fail "no table: $(cat "$OUT")"

# Twenty ports to connect from, in a network of its own: fifty connections need more addresses than one.
few_ports()
{
        ip link set lo up && echo 40000 40019 >/proc/sys/net/ipv4/ip_local_port_range && exec "$@"
}
export -f few_ports
if unshare -n true 2>/dev/null; then
        expect_status 0 unshare -n bash -c 'few_ports "$@"' - "$LOAD" messages --connections=50 --messages=200 --listen=127.0.0.1:7000 --json
        json_is '.ok and .messages == 200 and .opened == 50'
fi

# ---- usage ----

for words in '' 'swim' 'bulk --messages=1' 'messages --bytes=1' 'bulk --size=5' 'messages --verify' 'bulk --idle=1' \
        'bulk --connections=0' 'bulk --bytes=1X' 'bulk --bytes=9999999999G' 'bulk --connect=127.0.0.1:1' 'bulk --listen=here' \
        'bulk --bytes=1 --seconds=1' 'bulk more' 'bulk --frob' 'bulk --threads=2' 'churn --pid=x' 'bulk --relay'; do
        # shellcheck disable=SC2086
        expect_status 2 "$LOAD" $words
        expect_stderr 1 '^sluice-bench-load: .*--help'
done
expect_status 0 "$LOAD" --help
expect_status 0 "$LOAD" churn --help
expect_status 1 "$LOAD" bulk --connections=900000
expect_stderr 1 'raise the limit'

# ---- with one ----

# through HOW AT MODE OPTION...: the load through a relay that spoils so; the sink has a port of its own.
through()
{
        local how=$1 at=$2 try

        shift 2
        for ((try = 0; try < 20; try++)); do
                random_port
                listening "$PORT" || break
        done
        rm -f "$ROOT/relay.out"
        python3 "$HERE/spoiler.py" "$how" "$at" "$PORT" >"$ROOT/relay.out" 2>"$ROOT/relay.err" &
        RELAY=$!
        until_true grep -qs '^ready' "$ROOT/relay.out" || fail "no relay: $(cat "$ROOT/relay.err")"
        limited "$LOAD" "$@" --json --listen="127.0.0.1:$PORT" --connect="127.0.0.1:$(sed -n 's/^ready //p' "$ROOT/relay.out")" \
                >"$OUT" 2>"$ERR"
        STATUS=$?
        kill -KILL "$RELAY"
        wait "$RELAY" 2>/dev/null
        [ "$how $STATUS" = 'clean 0' ] && return
        [ "$how" != clean ] && [ "$STATUS" = 1 ] && return
        fail "$* through $how: exit status $STATUS; $(cat "$ERR")"
}

wrong()
{
        json_is '(.ok | not) and .wrong >= 1'
        expect_stderr 1 "$1"
}

through clean 0 bulk --bytes=2M --connections=3 --verify --relay
json_is '.relay.processes == 1 and .relay.rss_kib > 0 and .relay.cpu_s > 0'
json_is '.ok and (.direct | not) and .received == 2 * 1024 * 1024'
through clean 0 messages --messages=50 --connections=3
through clean 0 idle --messages=50 --connections=3 --idle=20
through clean 0 churn --messages=20 --connections=3

through drop 300000 bulk --bytes=1M
wrong 'connection 0: 1048576 bytes sent, 1048575 received$'
through double 300000 bulk --bytes=1M
wrong 'connection 0: 1048576 bytes sent, 1048577 received$'
through flip 300000 bulk --bytes=1M --verify
wrong 'connection 0: 1048576 bytes sent, 1048576 received, not those that were sent$'
through flip 5 bulk --bytes=1M
json_is '(.ok | not) and .wrong >= 1'
through answer 5 bulk --bytes=1M
wrong 'its hello came back otherwise'
# In the hello's place: bytes 0 to 15 of each connection. The first message, its header, its last byte.
for at in 16 31 79; do
        through flip $at messages --messages=9
        wrong 'connection 0: its answer is not what it sent'
        through answer $at messages --messages=9
        wrong 'connection 0: its answer is not what it sent'
done
through answer 40 idle --messages=1 --connections=1 --idle=3
wrong 'its answer is not what it sent'
through flip 3 churn --messages=5 --connections=2
wrong 'its answer is not what it sent'
json_is '.messages == 0 and .wrong == 5'
# A byte too many comes with the next message, or at the end.
through double 40 messages --messages=1
json_is '(.ok | not) and .wrong >= 1'

through reset 40 messages --messages=9 --connections=2
json_is '.failed == 2'
expect_stderr 1 'connection [01]: in a message: Connection reset by peer'
through reset 300000 bulk --bytes=8M
json_is '.failed == 1'
through reset 3 churn --messages=6 --connections=2
json_is '.failed == 6 and .messages == 0'
# What is kept back is waited for, and not for ever.
through swallow 60 messages --messages=9 --stall=0.3
json_is '.failed == 1'
expect_stderr 1 'nothing moves any more'
through drop 40 messages --messages=9 --stall=0.3
json_is '.failed + .wrong == 1'

# Nobody there.
until_true eval 'random_port; ! listening "$PORT"'
expect_status 1 "$LOAD" messages --connections=3 --messages=9 --listen=127.0.0.1:0 --connect="127.0.0.1:$PORT" --json
json_is '.failed == 3 and .messages == 0'
expect_stderr 1 'connect: Connection refused'
expect_status 1 "$LOAD" bulk --bytes=1 --pid=999999999 --json
expect_stderr 1 'the relay is gone'
