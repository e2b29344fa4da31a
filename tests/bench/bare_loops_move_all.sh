# Promises: the bare loops move every byte in order, with outputs that are read at different speeds too; a sink's sum does not
# depend on how its input was cut, and finds a byte that changed.
. "$(dirname "$0")/../cli/lib.sh"
bare=$BUILD/bin/sluice-bench-bare
[ -x "$bare" ] || skip 'no sluice-bench-bare: the benches are not built'
make_bytes 5000001 in

for loop in splice copy; do
        expect_status 0 "$bare" $loop in out
        expect_same in out
done
"$bare" splice in - | "$bare" splice - - | "$bare" copy - - >out || fail 'a chain'
expect_same in out
expect_status 0 "$bare" tee-files in a b c
for file in a b c; do
        expect_same in $file
done
# Memory has O_DIRECT since 6.6 only.
head -c 4194304 in >blocks
if "$bare" tee-direct blocks a b 2>"$ERR"; then
        expect_same blocks a
        expect_same blocks b
else
        expect_stderr 1 O_DIRECT
fi
# Each branch in pieces of another size, so that tee(2) gives some of them less.
cat >reader <<'SH'
case $1 in 0) exec dd of="$1.out" bs=777 status=none ;; 1) sleep 0.05; exec cat >"$1.out" ;; *) exec dd of="$1.out" bs=100000 status=none ;; esac
SH
expect_status 0 "$bare" tee in 3 sh reader %
for i in 0 1 2; do
        expect_same in $i.out
done
expect_status 0 "$bare" spawn in 4 cat
expect_same in "$OUT"
expect_status 1 "$bare" spawn in 2 false

export SLUICE_BENCH_SUM=1
sum=$("$bare" sum in)
for bytes in 1 7 4096 65537; do
        head -c 100000 in | dd bs=$bytes status=none | "$bare" read "sink.$bytes"
        expect_same sink.1 "sink.$bytes"
done
"$bare" read sink <in
[ "$(cat sink)" = "$sum" ] || fail 'read and sum differ'
{ head -c 2500000 in; printf '\377'; tail -c +2500002 in; } | "$bare" read other
cmp -s sink other && fail 'a changed byte does not show'
unset SLUICE_BENCH_SUM

tcp()
{
        local way=$1 sink=$2

        random_port
        "$bare" "$sink" "$PORT" got &
        until_true listening "$PORT" || fail "$sink does not listen"
        "$bare" send "$way" in "$PORT" || fail "$way to $sink"
        wait "$!" || fail "$sink"
}
for way in sendfile splice copy; do
        tcp $way receive-file
        expect_same in got
done
tcp sendfile receive
[ "$(cat got)" = '{"bytes":5000001}' ] || fail "receive: $(cat got)"
tcp splice discard
[ "$(cat got)" = '{"bytes":5000001}' ] || fail "discard: $(cat got)"
expect_status 2 "$bare"
expect_status 2 "$bare" splice in
