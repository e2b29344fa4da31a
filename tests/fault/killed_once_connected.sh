#!/usr/bin/env bash
# Promise: from the moment that a receiver may have accepted a connection, a sender that is killed has reset it: no moment
# between two calls makes an end of stream of it. Killed at each of its calls on a socket in turn, by strace.
. "$(dirname "$0")/../cli/lib.sh"
[ -z "$SANITIZE" ] || skip 'strace of a sanitizer build'
command -v strace >/dev/null && strace -o /dev/null true 2>/dev/null || skip 'no strace'
make_bytes 3000 in

# receiver: one listens on a free port, $PORT.
receiver()
{
        local try

        for ((try = 0; try < 20; try++)); do
                random_port
                listening "$PORT" && continue
                "$SLUICE" run --grace=50ms "tcp-listen:127.0.0.1:$PORT | file:out" >"$ROOT/receiver.out" 2>&1 &
                RECEIVER=$!
                until_true eval 'listening "$PORT" || ! kill -0 $RECEIVER 2>/dev/null'
                listening "$PORT" && return
                wait "$RECEIVER"
        done
        fail 'nothing listens'
}

# killed_at CALL NTH PIPELINE: in $KILLED whether the sender came to its call at all.
killed_at()
{
        receiver
        limited strace -f -e "trace=$1" -e "inject=$1:signal=KILL:when=$2" -o "$ROOT/trace" \
                "$SLUICE" run --grace=50ms "${3//ADDRESS/tcp:127.0.0.1:$PORT}" >"$ROOT/sender.out" 2>&1
        KILLED=$(($? != 0))
        # Nobody will connect to a receiver whose sender was killed before it did.
        until_true eval '! listening "$PORT" || { kill -TERM $RECEIVER 2>/dev/null; false; }'
        wait "$RECEIVER" && [ $KILLED = 1 ] && ! cmp -s in out &&
                fail "killed at $1 $2, and the receiver succeeds with $(stat -c %s out) bytes: $3"
        return 0
}

total=0
for pipeline in 'file:in | ADDRESS' 'cat in | ADDRESS'; do
        for call in setsockopt getsockopt; do
                nth=0 KILLED=1
                while ((KILLED && nth < 30)); do
                        killed_at $call $((++nth)) "$pipeline"
                        ((total += KILLED))
                done
        done
done
((total >= 4)) || fail "killed at $total calls only"
