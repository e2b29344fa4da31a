#!/usr/bin/env bash
# Promises of `sluice relay`: it passes connections on between TCP and unix sockets, on one thread or several; drains at SIGTERM
# and resets at a second; what it was killed over looks cut off and not ended; it says what it did; and leaves nothing.
HERE=$(cd "$(dirname "$0")" && pwd) || exit 1
. "$HERE/lib.sh"
PEER_PROGRAM=$HERE/../fault/peer.py
command -v python3 >/dev/null || skip 'no python3'

make_bytes 3000000 in
make_bytes 200000 small

ended()
{
        ! kill -0 "$1" 2>/dev/null
}

# relay OPTION... TARGET: one runs, $RELAY, on a free port, $PORT.
relay()
{
        local try

        for ((try = 0; try < 20; try++)); do
                random_port
                listening "$PORT" && continue
                rm -f "$ROOT"/relay.*
                "$SLUICE" relay "${@:1:$#-1}" "127.0.0.1:$PORT" "${!#}" >"$ROOT/relay.out" 2>"$ROOT/relay.err" &
                RELAY=$!
                until_true eval 'listening "$PORT" || ended $RELAY'
                listening "$PORT" && return
                wait "$RELAY"
        done
        fail "no relay: $(cat "$ROOT/relay.err")"
}

# peer NAME STEP...: one listens on a free port, $TARGET.
peer()
{
        rm -f "$ROOT/peer.out"
        timeout --foreground -s KILL 60 python3 "$PEER_PROGRAM" listen 127.0.0.1:0 "$@" >"$ROOT/peer.out" 2>"$ROOT/peer.err" &
        PEER=$!
        until_true grep -qs '^ready' "$ROOT/peer.out" || fail "no peer: $(cat "$ROOT/peer.err")"
        TARGET=127.0.0.1:$(sed -n 's/^ready //p' "$ROOT/peer.out")
}

# client STEP...
client()
{
        timeout --foreground -s KILL 60 python3 "$PEER_PROGRAM" connect "127.0.0.1:$PORT" "$@" >"$ROOT/client.out" 2>&1
}

# stops STATUS: SIGTERM ends it.
stops()
{
        kill -TERM "$RELAY"
        until_true ended "$RELAY" || fail 'SIGTERM does not end it'
        wait "$RELAY"
        [ $? = "$1" ] || fail "its exit status is not $1: $(cat "$ROOT/relay.err")"
}

# Both ways, with every driver, on one thread and on two.
for options in '--driver=auto' '--driver=inline --threads=1' '--driver=copy --threads=2' '--prefer=relay-cpu --threads=2' \
        '--backend=epoll'; do
        peer send:small drain keep:got close
        # shellcheck disable=SC2086
        relay $options "$TARGET"
        client send:in shut drain keep:back close || fail "$options: the client: $(cat "$ROOT/client.out")"
        wait "$PEER" || fail "$options: the target: $(cat "$ROOT/peer.err")"
        expect_same in got
        expect_same small back
        stops 0
        [ -s "$ROOT/relay.err" ] && fail "$options: it is not quiet: $(cat "$ROOT/relay.err")"
done

# Statistics: as JSON on stdout at the end, and on stderr whenever asked.
peer drain close
relay --json --threads=1 "$TARGET"
client send:in close
wait "$PEER"
kill -USR1 "$RELAY"
until_true grep -q '"accepted":1' "$ROOT/relay.err" || fail "SIGUSR1: $(cat "$ROOT/relay.err")"
stops 0
python3 - "$ROOT/relay.out" <<'PY' || fail "the JSON: $(cat "$ROOT/relay.out")"
import json, sys
j = json.load(open(sys.argv[1]))
assert j['threads'] == 1 and j['connections'] == dict(active=0, peak=1, accepted=1, connect_failed=0, reset=0, idle=0, paused=0), j
assert j['bytes']['up'] == 3000000 and j['bytes']['down'] == 0, j
assert j['bytes']['spliced'] + j['bytes']['copied'] == 3000000, j
PY
peer close
relay -v "$TARGET"
kill -USR1 "$RELAY"
until_true grep -q 'connections now' "$ROOT/relay.err" || fail "SIGUSR1: $(cat "$ROOT/relay.err")"
stops 0
kill "$PEER"
wait "$PEER" 2>/dev/null

# Between unix sockets; the file is this user's alone, and goes with it. A file that a killed relay left is no obstacle.
for round in killed ended; do
        start_unix_listener "$T/target" "unix-listen:$T/target | file:got"
        # What an earlier one said must not be taken for this one's: the shell empties the file only once the child runs.
        rm -f "$ROOT"/relay.*
        "$SLUICE" relay -v --threads=2 "unix:$T/door" "unix:$T/target" >"$ROOT/relay.out" 2>"$ROOT/relay.err" &
        RELAY=$!
        until_true grep -qs '2 threads' "$ROOT/relay.err" || fail "no door: $(cat "$ROOT/relay.err")"
        [ "$(stat -c %a door)" = 600 ] || fail "the door is $(stat -c %a door)"
        expect_status 0 "$SLUICE" run 'file:in | unix:door'
        end_listener
        expect_same in got
        if [ $round = killed ]; then
                kill -KILL "$RELAY"
                wait "$RELAY" 2>/dev/null
                [ -S door ] || fail 'SIGKILL took the door away'
        else
                stops 0
                [ ! -e door ] || fail 'the door is left'
        fi
done

# Whom SIGKILL of the relay leaves behind sees a connection that was cut off.
peer send:small,100 drain say:over close
relay "$TARGET"
client read:100 say:here drain close &
CLIENT=$!
until_true grep -qs here "$ROOT/client.out" || fail 'nothing came through'
kill -KILL "$RELAY"
wait "$RELAY" "$CLIENT" "$PEER" 2>/dev/null
grep -q ECONNRESET "$ROOT/client.out" || fail "a killed relay looks like an end to the client: $(cat "$ROOT/client.out")"
grep -q ECONNRESET "$ROOT/peer.out" || fail "a killed relay looks like an end to the target: $(cat "$ROOT/peer.out")"

# drains WHAT: told to end, the relay takes nobody new, and what it has goes on to its end.
drains()
{
        client send:hello wait:go2 send:small close &
        CLIENT=$!
        until_true grep -qs got "$ROOT/peer.out" || fail "$1: nothing came through"
        kill -TERM "$RELAY"
        until_true eval '! listening "$PORT"' || fail "$1: it still listens"
        ended "$RELAY" && fail "$1: it did not wait for its connection"
        touch go go2
        wait "$CLIENT" "$PEER"
        until_true ended "$RELAY"
        wait "$RELAY" || fail "$1: it failed though all had ended: $(cat "$ROOT/relay.err")"
        expect_same both got
        rm -f go go2
}

# Draining; a second signal, or the time, resets what it has and says so.
printf 'hello' >hello
cat hello small >both
peer read:5 say:got wait:go drain keep:got close
relay --threads=2 "$TARGET"
drains 'a socket of its own'

for how in again time; do
        peer read:5 say:got wait:go drain close
        options=--drain-timeout=1m
        [ $how = time ] && options=--drain-timeout=100ms
        relay "$options" "$TARGET"
        client send:hello drain close &
        CLIENT=$!
        until_true grep -qs got "$ROOT/peer.out"
        kill -TERM "$RELAY"
        [ $how = again ] && until_true eval '! listening "$PORT"' && kill -TERM "$RELAY"
        until_true ended "$RELAY" || fail "$how: it does not end"
        wait "$RELAY"
        [ $? = 1 ] || fail "$how: connections were reset, and it succeeds"
        grep -q 'were reset' "$ROOT/relay.err" || fail "$how: $(cat "$ROOT/relay.err")"
        touch go
        wait "$CLIENT" "$PEER"
        grep -q ECONNRESET "$ROOT/client.out" || fail "$how: the client saw no reset: $(cat "$ROOT/client.out")"
        rm -f go
done

# A socket that listens already, as a service manager gives it.
cat >listen.py <<'PY'
import os, socket, sys
s = socket.socket()
s.bind(('127.0.0.1', 0))
s.listen()
os.dup2(s.fileno(), 9)
print(s.getsockname()[1], flush=True)
os.execv(sys.argv[1], [sys.argv[1], 'relay', 'fd:9', sys.argv[2]])
PY
peer read:5 say:got wait:go drain keep:got close
rm -f "$ROOT"/relay.*
python3 listen.py "$SLUICE" "$TARGET" >"$ROOT/relay.out" 2>"$ROOT/relay.err" &
RELAY=$!
until_true [ -s "$ROOT/relay.out" ]
PORT=$(cat "$ROOT/relay.out")
drains 'a socket from outside'

# Where nobody listens; what is no address; a port that is taken; what cannot be.
random_port
relay -v "127.0.0.1:1"
client drain close
grep -q ECONNRESET "$ROOT/client.out" || fail "nobody listens behind it: $(cat "$ROOT/client.out")"
until_true grep -q 'could not be made: Connection refused' "$ROOT/relay.err" || fail "$(cat "$ROOT/relay.err")"
expect_status 1 "$SLUICE" relay "127.0.0.1:$PORT" 127.0.0.1:1
expect_stderr 1 "relay: 127.0.0.1:$PORT: Address already in use"
expect_status 1 "$SLUICE" relay --threads=2 "127.0.0.1:$PORT" 127.0.0.1:1
expect_stderr 1 'Address already in use'
stops 0
expect_status 2 "$SLUICE" relay 127.0.0.1:0 nonsense
expect_stderr 2 "'nonsense' is no address"
expect_status 2 "$SLUICE" relay 127.0.0.1:0 ::1:80
expect_stderr 2 'stands in brackets'
expect_status 2 "$SLUICE" relay 127.0.0.1:0 unix:
expect_stderr 2 'a socket.s path has 1 to 107'
expect_status 2 "$SLUICE" relay fd:0 127.0.0.1:1
expect_stderr 2 'fd:0: no listening socket'
expect_status 2 "$SLUICE" relay 127.0.0.1:0
expect_stderr 2 'two addresses'
for option in --threads=0 --max-connections=x --idle-timeout=0 --proxy=v3 --driver=ring --prefer=speed --backend=fast --nonsense; do
        expect_status 2 "$SLUICE" relay "$option" 127.0.0.1:0 127.0.0.1:1
        expect_stderr 2 "${option%%=*}"
done
