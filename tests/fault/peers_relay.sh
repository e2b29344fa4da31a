#!/usr/bin/env bash
# Promises: each peer's relay starts from bench/peers by its name, in the foreground, carries every byte, message and connection,
# and is gone when it is killed, with no file left; what cannot start says why.
HERE=$(cd "$(dirname "$0")" && pwd) || exit 1
. "$HERE/../cli/lib.sh"
LOAD=$(dirname "$SLUICE")/sluice-bench-load
RELAY=$SOURCE/bench/peers/relay.sh
[ -x "$LOAD" ] || skip 'sluice-bench-load is not built (google-benchmark is missing)'
export TMPDIR=$T
[ -n "${PEERS-}" ] || PEERS=$BUILD/bench/peers
# Those whose unpacking was cut short are none.
if [ -e "$PEERS/.debs/complete" ]; then export PEERS; else unset PEERS; fi

free_port()
{
        until_true eval 'random_port; ! listening "$PORT"'
}

there()
{
        local folder

        for folder in ${PEERS:+"$PEERS/usr/sbin" "$PEERS/usr/bin"} /usr/sbin /usr/bin; do
                [ -x "$folder/$1" ] && return
        done
        return 1
}

# carries PEER [THREADS]
carries()
{
        local from to mode

        free_port
        from=$PORT
        until_true eval 'free_port; [ "$PORT" != "$from" ]'
        to=$PORT
        "$RELAY" "$1" "$from" "$to" ${2+"$2"} >"$ROOT/relay.out" 2>&1 &
        relay=$!
        for mode in 'bulk --bytes=3M --connections=3 --verify' 'messages --messages=60 --connections=5 --size=4096' \
                'churn --messages=30 --connections=3' 'idle --messages=30 --connections=3 --idle=30'; do
                # shellcheck disable=SC2086
                expect_status 0 "$LOAD" $mode --wait=20 --pid=$relay --relay --connect="127.0.0.1:$from" --listen="127.0.0.1:$to"
        done
        [ "$fails" = 0 ] || cat "$ROOT/relay.out" >&2
        kill -TERM "$relay"
        wait "$relay" 2>/dev/null
        tried=$((tried + 1))
}

tried=0
if there haproxy; then
        carries haproxy-plain
        carries haproxy-copy 2
        carries haproxy-splice
fi
there nginx && [ -e "${PEERS-}/usr/lib/nginx/modules/ngx_stream_module.so" ] && carries nginx-stream 2
there socat && carries socat
[ -z "$(ls -A "$T")" ] || fail "files left: $(ls -A "$T")"

for words in '' 'socat' 'socat 1' 'socat x 2' 'nobody 1 2' 'socat 1 2 3 4'; do
        # shellcheck disable=SC2086
        expect_status 2 "$RELAY" $words
        grep -q 'relay.sh PEER' "$ERR" || fail "$words: $(cat "$ERR")"
done
expect_status 0 "$RELAY" packages
grep -q haproxy "$OUT" || fail "no packages: $(cat "$OUT")"
mkdir "$ROOT/few" && ln -s "$(command -v dirname)" "$ROOT/few/"
expect_status 127 env PEERS="$ROOT/few" PATH="$ROOT/few" "$BASH" "$RELAY" socat 1 2
expect_stderr 1 'no socat: .*PEERS='
[ "$tried" -gt 0 ] || skip 'no haproxy, nginx or socat'
