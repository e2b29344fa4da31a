# Promises: a user whose pipe quota is used up by another process still gets every byte: smaller pipes, not failures.
. "$(dirname "$0")/lib.sh"
[ "$(id -u)" = 0 ] || skip 'needs root, to be somebody else'
command -v setpriv >/dev/null || skip 'no setpriv'
command -v python3 >/dev/null || skip 'no python3'

USER_ID=$((54321 + RANDOM % 1000))
cp "$SLUICE" "$ROOT/sluice" && chmod 755 "$ROOT/sluice"
chmod 777 "$T"
make_bytes 5000000 in
chmod 644 in

as_user=(setpriv --reuid=$USER_ID --regid=$USER_ID --clear-groups --inh-caps=-all --bounding-set=-all)
python=$(command -v python3)
"${as_user[@]}" "$python" -c '' 2>/dev/null || python=$(PATH=/usr/bin:/bin command -v python3) ||
        skip 'that user cannot run python3'
"${as_user[@]}" "$python" -c '' 2>/dev/null || skip 'that user cannot run python3'

# Holds pipes, as large as they get, until two more are the smallest there are; then says so and waits for its stdin.
cat >"$ROOT/holder.py" <<'PY'
import fcntl, os, sys
SET, GET = 1031, 1032
held = []
size = 1 << 20
while len(held) < 900:
    pipe = os.pipe()
    held.append(pipe)
    while size > 4096:
        try:
            fcntl.fcntl(pipe[0], SET, size)
            break
        except PermissionError:
            size //= 2
    if fcntl.fcntl(pipe[0], GET) <= 8192 and size <= 4096:
        break
print('held', len(held), flush=True)
sys.stdin.read()
PY
mkfifo hold
exec 9<>hold
"${as_user[@]}" "$python" "$ROOT/holder.py" <hold >"$ROOT/held" 2>"$ERR" 9>&- &
holder=$!
clean_up()
{
        kill "$holder" 2>/dev/null
        wait "$holder" 2>/dev/null
}
until_true eval 'test -s "$ROOT/held" || ! kill -0 $holder 2>/dev/null'
if ! grep -q held "$ROOT/held"; then
        kill "$holder" 2>/dev/null
        wait "$holder"
        skip "the quota could not be used up: $(cat "$ERR")"
fi

check()
{
        expect_same in out
        rm -f out
}

for driver in auto inline ring copy; do
        expect_status 0 "${as_user[@]}" "$ROOT/sluice" run "--driver=$driver" 'file:in | file:out'
        check
        expect_status 0 "${as_user[@]}" "$ROOT/sluice" run "--driver=$driver" 'cat in | cat | file:out'
        check
        expect_status 0 "${as_user[@]}" "$ROOT/sluice" run "--driver=$driver" 'file:in,snapshot | cat | cat | file:out,observe'
        check
        expect_status 0 "${as_user[@]}" "$ROOT/sluice" run "--driver=$driver" 'cat in | file:out,observe'
        check
        start_listener 'tcp-listen:127.0.0.1:PORT | file:out' || continue
        expect_status 0 "${as_user[@]}" "$ROOT/sluice" run "--driver=$driver" "file:in | tcp:127.0.0.1:$PORT"
        end_listener
        check
done
expect_status 0 "${as_user[@]}" "$ROOT/sluice" run --json 'file:in | file:out'
check

# The doctor sees it, or at least still works.
limited "${as_user[@]}" "$ROOT/sluice" doctor >"$OUT" 2>"$ERR"
status=$?
[ $status -le 1 ] || fail "doctor: exit status $status, $(cat "$ERR")"
grep -q '^\(ok\|note\|AMISS\) *pipe ' "$OUT" || fail "doctor does not speak of pipes: $(cat "$OUT")"
exec 9>&-
kill "$holder"
wait "$holder" 2>/dev/null
true
