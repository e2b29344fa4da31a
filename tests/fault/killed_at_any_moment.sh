#!/usr/bin/env bash
# killed_at_any_moment.sh [--rounds=N] [--seed=N] [--break=bytes|child]: the engine that sends a file over TCP, or the one
# that receives it, is killed with SIGKILL at a random moment. Whatever the moment:
#
#   no process and no temporary file is left                  also of commands in between
#   what is in the output file is a prefix of what was sent
#   the receiver succeeds only with everything                a sender that was killed is no end of stream
#   an atomic file is the old one or the whole new one
#
# With and without the guard. The moments lie in the time that a whole transfer takes here, and a little after it.
# --break: one byte of an output is changed behind the engine's back, or a command leaves a child where nothing contains
# it; the test must turn red.
. "$(dirname "$0")/../cli/lib.sh"

rounds=200
[ "$SANITIZE" ] && rounds=36
seed=$RANDOM
broken=
for word in "$@"; do
        case $word in
        --rounds=*) rounds=${word#*=} ;;
        --seed=*) seed=${word#*=} ;;
        --break=bytes | --break=child) broken=${word#*=} ;;
        *) fail "what is $word?"; exit 1 ;;
        esac
done
RANDOM=$seed
echo "seed $seed, $rounds rounds"

# The shell says of every job that it was killed. What is wrong is said all the same.
exec 8>&2 2>/dev/null
fail()
{
        printf 'FAIL: %s\n' "$*" >&8
        fails=$((fails + 1))
}

BYTES=40000000 SMALL=4000000
[ "$SANITIZE" ] && BYTES=8000000 SMALL=1000000
make_bytes $BYTES in
make_bytes $SMALL small
gzip -1 -nc <small >small.gz
printf old >old
mkfifo never
exec 7<>never

# What sends, what receives, and the file that the output is a prefix of.
pairs=(
        'file:in | tcp:ADDRESS^tcp-listen:ADDRESS | file:out^in'
        'file:in | tcp:ADDRESS^tcp-listen:ADDRESS | file:out,atomic^in'
        'file:small | gzip -1 -nc | tcp:ADDRESS^tcp-listen:ADDRESS | file:out^small.gz'
        'file:small | gzip -1 -nc | tcp:ADDRESS^tcp-listen:ADDRESS | gzip -dc | file:out,atomic^small'
        'cat in | tcp:ADDRESS^tcp-listen:ADDRESS | cat | file:out,observe^in'
        'file:in | tcp:ADDRESS^tcp-listen:ADDRESS | sh -c "sleep 1000 >/dev/null & exec cat" | file:out,observe^in'
        'file:in | count: | tcp:ADDRESS^tcp-listen:ADDRESS | checksum: | file:out,atomic^in'
)
drivers=(auto inline ring copy)
[ "$broken" = child ] && pairs=('file:in | sh -c "setsid sleep 1000 >/dev/null 2>&1 & : >up; exec cat" | tcp:ADDRESS^tcp-listen:ADDRESS | file:out^in')

ended()
{
        ! kill -0 "$1" 2>/dev/null
}

# begin PAIR OPTION...: both run: $SENDER and $RECEIVER. The old contents of the output are "old".
begin()
{
        local sender receiver try

        IFS=^ read -r sender receiver wanted <<<"$1"
        shift
        cp old out
        for ((try = 0; try < 20; try++)); do
                random_port
                listening "$PORT" && continue
                "$SLUICE" run --grace=50ms "$@" "${receiver//ADDRESS/127.0.0.1:$PORT}" >"$ROOT/receiver.out" 2>&1 &
                RECEIVER=$!
                until_true eval 'listening "$PORT" || ended $RECEIVER'
                listening "$PORT" && break
                wait "$RECEIVER"
        done
        "$SLUICE" run --grace=50ms "$@" "${sender//ADDRESS/127.0.0.1:$PORT}" >"$ROOT/sender.out" 2>&1 &
        SENDER=$!
}

# finish PID NAME: its exit status in $STATUS; it ends by itself.
finish()
{
        if ! until_true ended "$1"; then
                fail "round $round: the $2 does not end: $what"
                kill -KILL "$1"
        fi
        wait "$1"
        STATUS=$?
}

# Nothing of either runs. Where something is to be left, waiting for its end is no use.
gone()
{
        if [ "$broken" = child ]; then
                sleep 0.3
                no_processes
        else
                until_true no_processes
        fi
}

# The time of a whole transfer, in microseconds, by pair.
takes=()
round=0
for ((i = 0; i < ${#pairs[@]}; i++)); do
        what=${pairs[i]}
        begin "$what"
        start=${EPOCHREALTIME//[.,]/}
        finish "$SENDER" sender
        [ "$STATUS" = 0 ] || fail "nobody is killed, and the sender fails: $what: $(cat "$ROOT/sender.out")"
        finish "$RECEIVER" receiver
        [ "$STATUS" = 0 ] || fail "nobody is killed, and the receiver fails: $what: $(cat "$ROOT/receiver.out")"
        takes[i]=$((${EPOCHREALTIME//[.,]/} - start))
        expect_same "$wanted" out
done

cut=0 whole=0 untouched=0 left=0
for ((round = 1; round <= rounds; round++)); do
        pair=$((RANDOM % ${#pairs[@]}))
        options=("--driver=${drivers[RANDOM % 4]}")
        { ((RANDOM % 2)) || [ "$broken" = child ]; } && options+=(--no-guard)
        victim=$([ $((RANDOM % 2)) = 0 ] && [ "$broken" != child ] && echo receiver || echo sender)
        after=$(((RANDOM * 32768 + RANDOM) % (takes[pair] * 5 / 4)))
        what="$victim killed after $after us of ${takes[pair]}, ${options[*]}: ${pairs[pair]}"
        # With --no-guard only commands themselves die with the engine: what they leave is not promised to.
        [[ ${pairs[pair]} == *'sleep 1000'* && ! $broken ]] && options=("${options[0]}")

        rm -f up
        begin "${pairs[pair]}" "${options[@]}"
        if [ "$broken" = child ]; then
                until_true test -e up # what is to be left is there; how long that takes says no clock
        else
                read -rt "$((after / 1000000)).$(printf %06d $((after % 1000000)))" -u 7
        fi
        if [ $victim = sender ]; then
                kill -KILL "$SENDER" 2>/dev/null
                finish "$SENDER" sender
                # Nobody will connect to a receiver whose sender was killed before it did.
                until_true eval '! listening "$PORT" || { kill -TERM $RECEIVER 2>/dev/null; false; }'
                finish "$RECEIVER" receiver
                size=$(stat -c %s out)
                [ $STATUS != 0 ] || cmp -s "$wanted" out ||
                        fail "round $round: the receiver succeeds with $size bytes: $what"
        else
                kill -KILL "$RECEIVER" 2>/dev/null
                finish "$RECEIVER" receiver
                finish "$SENDER" sender
        fi
        gone || {
                fail "round $round: processes left: $what: $(ps -o args= -p "$(marked_processes | paste -sd,)")"
                left=$((left + 1))
                for pid in $(marked_processes); do kill -KILL "$pid"; done
        }
        [ -z "$(temporary_files)" ] || {
                fail "round $round: $(temporary_files) is left: $what"
                rm -f $(temporary_files)
        }
        size=$(stat -c %s out)
        [ "$broken" = bytes ] && printf '\377' | dd of=out conv=notrunc bs=1 seek=$((size / 2)) status=none
        if cmp -s old out; then
                untouched=$((untouched + 1))
        elif cmp -s "$wanted" out; then
                whole=$((whole + 1))
        elif [[ ${pairs[pair]} == *atomic* ]]; then
                fail "round $round: an atomic file is neither old nor whole: $size bytes: $what"
        elif cmp -s -n "$size" "$wanted" out; then
                cut=$((cut + 1))
        else
                fail "round $round: $size bytes are not a prefix: $what"
        fi
done
echo "$rounds rounds done: $cut outputs cut, $whole whole, $untouched untouched; $left times processes left, $fails wrong"
