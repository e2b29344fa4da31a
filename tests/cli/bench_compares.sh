# Promises: bench measures nothing but equal work: outputs that differ are found, on standard output and in files; a side that
# fails is named with what it said; files that were there stay; every sample is in the JSON object; and nothing is left behind.
. "$(dirname "$0")/lib.sh"
command -v jq >/dev/null || skip 'no jq'

make_bytes 300000 in
echo x >tail-of-peer
cat in tail-of-peer >longer

bench()
{
        limited "$SLUICE" bench --pairs=1 "$@"
}
# says STATUS REGEX ARGUMENT...: bench ends so and says so.
says()
{
        local status=$1 regex=$2

        shift 2
        expect_status "$status" "$SLUICE" bench --pairs=1 "$@"
        cat "$OUT" "$ERR" | grep -qE -- "$regex" || fail "bench $*: nothing says /$regex/: $(cat "$OUT" "$ERR")"
        [ ! -e made ] && [ ! -e made2 ] || fail "bench $*: left what it made"
}
# json FILTER: true of the object on stdout.
json()
{
        jq -e "$1" <"$OUT" >/dev/null || fail "not so: $1: $(cat "$OUT")"
}

# ---- outputs that agree, and those that do not: longer, of another content, in a file, no file, in one of two ----
says 0 '^outputs agree: standard output 293 KiB$' 'file:in | -' --vs 'cat in'
says 0 '^outputs agree: .*, made 293 KiB$' --vs 'cat in >made' 'file:in | cat | file:made'
says 1 'outputs differ: standard output of sluice: 300000 bytes, .*; of the peer: 300002 bytes' 'file:in | -' --vs 'cat longer'
says 1 'outputs differ: standard output .* 300000 bytes, .* 300000 bytes' 'file:in | -' --vs 'tr 1 2 <in'
says 1 'outputs differ: made of sluice: 300000 bytes, .* 300002 bytes' 'file:in | cat | file:made' --vs 'cat longer >made'
says 1 'outputs differ: made of sluice: .*; of the peer: no such file' 'file:in | file:made' --vs true
says 1 'outputs differ: standard output of sluice: 0 bytes, .*; of the peer: 1 bytes' 'file:in | file:made' --vs 'cat in >made; echo'
says 1 'outputs differ: made2 ' 'file:in | tee(file:made, cat | file:made2)' --vs 'cat in >made; cat longer >made2'
says 0 'outputs agree' --output=made 'file:in | tee(file:made, cat | file:made2)' --vs 'cat in >made; cat longer >made2'
says 1 'outputs differ: made ' --output=made 'sh -c "cat in >made"' --vs 'cat longer >made'
says 1 'standard output differs from run to run of the pipeline' "sh -c 'cat /proc/sys/kernel/random/uuid' | -"
grep -qE 'PEAK|x the time' "$OUT" "$ERR" && fail 'figures of what differs'
says 0 '^outputs were not compared$' --no-verify 'file:in | -' --vs 'cat longer'
# What the peer's later runs do counts, too.
says 1 'peer gave another standard output than the first time: 300002 bytes, and 300000 before' 'file:in | -' \
        --vs 'if [ -e second ]; then cat longer; else cat in; fi; : >second'
rm second
# What is no file is written, and not compared.
says 0 'outputs agree: standard output 0 B$' 'file:in | file:/dev/null' --vs 'cat in >/dev/null'
ln -s /dev/null nowhere
says 0 'outputs agree: standard output 0 B$' 'file:in | file:nowhere' --vs true
# Standard input is the same for both, anew each time, and empty unless given.
says 0 'outputs agree: standard output 293 KiB' --input=in '' --vs 'cat'
says 0 'outputs agree: standard output 0 B' --vs cat 'cat | -'
says 0 'outputs agree: standard output 293 KiB' --input=in -- '- | cat' --vs=cat

# ---- a side that fails ----
says 1 '^sluice: peer failed: exit status 3$' 'file:in | -' --vs 'cat in; echo sorrow >&2; exit 3'
grep -q '^        sorrow$' "$ERR" || fail "what the peer said: $(cat "$ERR")"
says 1 '^sluice: peer was ended by signal 9' 'file:in | -' --vs 'kill -KILL $$'
says 1 '^sluice: sluice failed: exit status 7$' 'file:in | sh -c "echo grief >&2; exit 7" | file:made'
grep -q 'grief' "$ERR" || fail "what the pipeline said: $(cat "$ERR")"

# ---- files that were there ----
echo precious >kept
for pipeline in 'file:in | file:kept' 'file:in | append:kept' 'file:in | tee(file:kept, cat | file:made)'; do
        says 2 'kept exists' "$pipeline" --vs 'rm kept'
done
says 2 'kept exists' --output=kept 'file:in | null:' --vs 'rm kept'
ln -s kept link
says 2 'link is a symbolic link' --overwrite 'file:in | file:link'
says 2 'kept is read, and would be written' --overwrite 'file:kept | cat | file:kept'
says 2 'kept is read, and would be written' --overwrite --input=kept '- | cat | file:kept'
[ "$(cat kept)" = precious ] || fail "a file that was there is now '$(cat kept)'"
says 0 'outputs agree' --overwrite 'file:in | file:kept'
expect_same in kept

# ---- usage ----
for wrong in '' '-- x y' '--pairs=0 x' '--pairs=six x' '--bytes=0 x' '--driver=no x' '--backend=no x' '--input=missing x' '--output= x' \
        'x --json' 'x --vs' 'fil:x'; do
        # shellcheck disable=SC2086
        expect_status 2 "$SLUICE" bench $wrong
done

# ---- JSON ----
sample='(.round | type == "number") and (.place | type == "number") and (.wall_seconds > 0) and (.cpu_seconds > 0) and (.peak_bytes > 0) and
        (.switches | type == "number") and (.strays | type == "boolean")'
expect_status 0 "$SLUICE" bench --pairs=7 --json --driver=copy --backend=epoll 'file:in | -' --vs 'cat in'
json ".exit_status == 0 and .error == null and .verified and .bytes == 300000 and .pairs == 7 and .rounds == 7 and
        (.samples | length == 21 and all($sample and .output_bytes == 300000)) and
        ([.samples[] | .side] | unique == [\"peer\", \"sluice\", \"sluice again\"]) and
        ([.samples[] | [.round, .place]] | unique | length == 21) and (.sides | length == 3) and
        (.ratio.noise.low <= .ratio.noise.high) and (.ratio | has(\"wall\") and has(\"why_not\")) and
        (.outputs | length == 1 and .[0].path == null and (.[0].sides | map(.xxh3) | unique | length == 1))"
expect_status 0 "$SLUICE" bench --pairs=2 --json --bytes=1M 'file:in | cat | file:made'
json '.vs == null and .bytes == 1048576 and (.samples | length == 4) and (.sides | length == 2) and .ratio.wall == null and
        .outputs[1].path == "made" and .outputs[1].sides.sluice.bytes == 300000'
expect_status 1 "$SLUICE" bench --json 'file:in | -' --vs 'cat longer'
json '(.error | contains("differ")) and .exit_status == 1 and (.verified | not) and .samples == [] and .ratio == null'
expect_status 1 "$SLUICE" bench --json 'file:in | -' --vs "printf '\\377sorrow' >&2; exit 4"
json '(.error | contains("exit status 4")) and (.stderr | contains("sorrow"))'

# ---- what lives on is ended, counted, and said; what had been started before is nobody's business ----
says 0 '^peer left processes behind' 'file:in | -' --vs 'setsid sleep 1000 & cat in'
no_processes || fail 'what the peer left lives on'
bash -c 'sleep 1000 & echo $! >stranger; exec "$1" bench --pairs=1 "" --vs cat' - "$SLUICE" >"$OUT" 2>"$ERR" || fail "beside a stranger: $(cat "$ERR")"
kill "$(cat stranger)" || fail 'a process that was there before was ended'

# ---- signals: in the round that compares and in those that count, whatever the sides do against it ----
# interrupted SIGNAL STATUS ARGUMENT...: sends it when the side that writes "up" has done so.
interrupted()
{
        local signal=$1 status=$2 pid

        shift 2
        rm -f up
        env --default-signal=INT "$SLUICE" bench "$@" >"$OUT" 2>"$ERR" &
        pid=$!
        until_true test -e up || fail "bench $*: never began"
        kill -"$signal" "$pid"
        wait "$pid"
        STATUS=$?
        [ "$STATUS" = "$status" ] || fail "bench $*: exit status $STATUS, not $status: $(cat "$ERR")"
        no_processes || fail "bench $*: $signal left something"
        [ ! -e made ] || fail "bench $*: $signal left what was made"
}
interrupted INT 130 'sh -c "echo >made; echo >up; sleep 1000" | cat | file:made'
interrupted TERM 143 'null: | null:' --vs 'sleep 1000 | cat & setsid sleep 1000 & echo >up; wait'
rm -f first
interrupted INT 130 --output=made 'sh -c "echo >made"' --vs 'echo >made; [ ! -e first ] || { echo >up; sleep 1000; }; echo >first'
true
