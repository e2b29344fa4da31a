#!/usr/bin/env bash
# Promises: whatever a peer does, the stage that is named, the words, the exit status and the output are known ones; with
# every driver. A peer that resets, closes with bytes unread, stops reading and goes, ends its own side first or last.
HERE=$(cd "$(dirname "$0")" && pwd) || exit 1
. "$HERE/../cli/lib.sh"
PEER_PROGRAM=$HERE/peer.py
command -v python3 >/dev/null || skip 'no python3'

make_bytes 3000000 in
make_bytes 300000 small
make_bytes 3000 tiny
GONE='(Connection reset by peer|Broken pipe)'

# peer_listen STEP...: a peer on a free port, $PORT.
peer_listen()
{
        rm -f "$ROOT/peer.out"
        timeout --foreground -s KILL 60 python3 "$PEER_PROGRAM" listen 127.0.0.1:0 "$@" >"$ROOT/peer.out" 2>"$ROOT/peer.err" &
        PEER=$!
        until_true grep -qs '^ready' "$ROOT/peer.out" || fail "no peer: $(cat "$ROOT/peer.err")"
        PORT=$(sed -n 's/^ready //p' "$ROOT/peer.out")
}

# ends_with STATUS LINES REGEX PIPELINE: the run with this driver, ADDRESS in it replaced; then the peer has ended well.
ends_with()
{
        rm -f go out got
        expect_status "$1" "$SLUICE" run "--driver=$driver" --grace=50ms "${4//ADDRESS/tcp:127.0.0.1:$PORT}"
        expect_stderr "$2" "$3"
        wait "$PEER" || fail "$4: the peer: $(cat "$ROOT/peer.out" "$ROOT/peer.err")"
}

# What arrived is the beginning of FILE, and at least BYTES.
prefix_of()
{
        local size=0

        [ -e out ] && size=$(stat -c %s out)
        [ "$size" -ge "$2" ] || fail "$driver: $size bytes of $1 arrived, not at least $2"
        [ "$size" = 0 ] || cmp -s -n "$size" "$1" out || fail "$driver: what arrived is not the beginning of $1"
}

for driver in auto inline ring copy; do
        # The sink goes: with bytes unread, by a reset, after it stopped reading.
        for end in close reset; do
                peer_listen read:1000 $end
                ends_with 1 1 "^sluice: tcp:127.0.0.1:$PORT: .*$GONE" 'file:in | ADDRESS'
                peer_listen stuck $end
                ends_with 1 1 "^sluice: tcp:127.0.0.1:$PORT: .*$GONE" 'zero: | ADDRESS'
        done
        peer_listen stuck close
        ends_with 1 1 "^sluice: tcp:127.0.0.1:$PORT: .*$GONE" 'cat /dev/zero | ADDRESS'
        peer_listen stuck reset
        ends_with 1 1 "^sluice: tcp:127.0.0.1:$PORT: .*$GONE" 'zero: | count: | ADDRESS'

        # The source resets, its bytes on their way or in a pipe that nobody reads. Never a success.
        peer_listen send:small reset
        ends_with 1 1 "^sluice: tcp:127.0.0.1:$PORT: .*Connection reset by peer" 'ADDRESS | file:out'
        prefix_of small 0
        peer_listen send:small wait:go reset
        ends_with 1 1 "^sluice: tcp:127.0.0.1:$PORT: .*Connection reset by peer" \
                'ADDRESS | sh -c "head -c 1000; touch go; exec cat" | file:out,observe'
        prefix_of small 1000
        # ... and an old atomic file stays.
        printf old >whole
        peer_listen send:small wait:go reset
        ends_with 1 1 "^sluice: tcp:127.0.0.1:$PORT: .*Connection reset by peer" \
                'ADDRESS | sh -c "head -c 1000; touch go; exec cat" | file:whole,atomic'
        [ "$(cat whole)" = old ] || fail "$driver: a reset connection replaced an atomic file"

        # The end comes while the pipe is full: it is an end, after everything.
        peer_listen send:in close
        ends_with 0 0 '' 'ADDRESS | sh -c "sleep 0.1; exec cat" | file:out'
        expect_same in out
        peer_listen send:in close
        ends_with 0 2 '^count: bytes 3000000' 'ADDRESS | count: | sh -c "sleep 0.1; exec cat" | file:out,observe'
        expect_same in out

        # Packets of a byte fill slots, not bytes.
        peer_listen trickle:tiny close
        ends_with 0 0 '' 'ADDRESS | sh -c "sleep 0.1; exec cat" | file:out'
        expect_same tiny out

        # Half closed: the peer ends its side first; last; in the middle.
        peer_listen shut drain keep:got close
        ends_with 0 0 '' 'file:in | ADDRESS | file:out'
        expect_same in got
        [ -e out ] && [ ! -s out ] || fail "$driver: something came from a peer that said nothing"
        peer_listen drain keep:got send:small close
        ends_with 0 0 '' 'file:in | ADDRESS | file:out'
        expect_same in got
        expect_same small out
        peer_listen send:small shut drain keep:got close
        ends_with 0 0 '' 'file:in | ADDRESS | file:out'
        expect_same in got
        expect_same small out
        # The peer goes while both directions are full: the run fails, and does not wait for the other direction.
        peer_listen send:small stuck reset
        ends_with 1 1 "^sluice: tcp:127.0.0.1:$PORT: .*$GONE" 'zero: | ADDRESS | file:out'
        prefix_of small 0
done
