# Promises: atomic replaces a file whole or not at all, for every reader and after every death; append adds at the end,
# also when several do at once.
. "$(dirname "$0")/lib.sh"

echo old >target
chmod 640 target
make_bytes 300000 in

# While it is written the old one stands.
mkfifo gate
"$SLUICE" run 'sh -c "cat in; read x <gate" | file:target,atomic' 2>"$ERR" &
job=$!
until_true process_count 2 || fail "the command does not run: $(marked_processes)"
[ "$(cat target)" = old ] || fail 'the old contents are gone before the new are whole'
[ "$(ls -A | tr '\n' ' ')" = 'gate in target ' ] || fail "a half-made file can be seen: $(ls -A)"
echo now >gate
wait "$job" || fail "atomic: $(cat "$ERR")"
expect_same in target

# A failing command, a signal, even SIGKILL: the old one stays, nothing else is left.
echo old >target
expect_status 4 "$SLUICE" run 'sh -c "echo half; exit 4" | file:target,atomic'
[ "$(cat target)" = old ] || fail 'a failed run replaced the file'
for signal in TERM KILL; do
        "$SLUICE" run 'sh -c "echo half; read x <gate" | file:target,atomic' 2>"$ERR" &
        job=$!
        until_true process_count 2 || fail 'the command does not run'
        kill -$signal $job
        wait $job 2>/dev/null
        until_true process_count 0 || fail "SIG$signal: the command outlives sluice"
        [ "$(cat target)" = old ] || fail "SIG$signal replaced the file"
        [ "$(ls -A | tr '\n' ' ')" = 'gate in target ' ] || fail "SIG$signal: left behind: $(ls -A)"
done

# Every way of moving; the mode; a new file; a symbolic link's name.
for driver in auto inline ring copy; do
        rm -f new
        expect_status 0 "$SLUICE" run "--driver=$driver" 'file:in | file:new,atomic,mode=600'
        expect_same in new
        [ "$(stat -c %a new)" = 600 ] || fail "mode $(stat -c %a new), not 600"
        expect_status 0 "$SLUICE" run "--driver=$driver" 'null: | file:new,atomic'
        [ -e new ] && [ ! -s new ] || fail 'atomic with no bytes: not an empty file'
done

# Truncation: a shorter one leaves no tail of the longer.
expect_status 0 "$SLUICE" run 'file:in | file:new'
echo short >short
expect_status 0 "$SLUICE" run 'file:short | file:new'
expect_same short new
expect_status 0 "$SLUICE" run 'cat short | file:new'
expect_same short new

# append
for driver in auto inline ring copy; do
        rm -f log
        expect_status 0 "$SLUICE" run "--driver=$driver" 'file:short | append:log'
        expect_status 0 "$SLUICE" run "--driver=$driver" 'file:in | cat | append:log'
        expect_status 0 "$SLUICE" run "--driver=$driver" 'file:in | append:log'
        expect_status 0 "$SLUICE" run "--driver=$driver" 'null: | append:log'
        cat short in in | cmp - log >&2 || fail "append --driver=$driver"
done
rm -f log
jobs_left=()
for ((i = 0; i < 8; i++)); do
        limited "$SLUICE" run 'sh -c "for i in 1 2 3 4 5 6 7 8 9 10; do echo line; done" | append:log' &
        jobs_left+=($!)
done
for job in "${jobs_left[@]}"; do
        wait "$job" || fail 'append, several at once: exit status'
done
[ "$(grep -cx line log)" = 80 ] || fail "several appended: $(grep -c '' log) lines of 80"

# A device keeps its place: a rename would put a plain file there, for everybody.
mkfifo device
expect_status 1 "$SLUICE" run 'file:in | file:device,atomic'
expect_stderr 1 'atomic replaces a regular file'
[ -p device ] || fail 'a FIFO was replaced by a file'
