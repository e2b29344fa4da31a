# Promises: stderr that is no terminal gets no progress line unless asked for one; stdout never gets one.
. "$(dirname "$0")/lib.sh"

make_bytes 200000 in
expect_status 0 "$SLUICE" run 'file:in | sh -c "cat; sleep 1" | file:out'
[ ! -s "$ERR" ] || fail "stderr has $(cat "$ERR")"
[ ! -s "$OUT" ] || fail "stdout has $(cat "$OUT")"
expect_status 0 "$SLUICE" run --no-progress 'sh -c "cat in; sleep 1" | -'
[ ! -s "$ERR" ] || fail "stderr has $(cat "$ERR")"
expect_same in "$OUT"
expect_status 0 "$SLUICE" run --progress 'sh -c "cat in; sleep 1" | -'
[ -s "$ERR" ] || fail '--progress shows nothing'
expect_same in "$OUT"
expect_status 0 "$SLUICE" run --progress 'sh -c "cat in; sleep 1" | cat | null:'
[ -s "$ERR" ] || fail '--progress shows nothing where processes move the bytes'

# On a terminal it is there, on one line, and gone at the end.
if command -v script >/dev/null; then
        limited script -qec "'$SLUICE' run 'file:in | sh -c \"cat; sleep 1\" | file:out'" /dev/null >"$OUT" 2>"$ERR" </dev/null
        grep -q "$(printf '\r')" "$OUT" || fail 'a terminal gets no progress line'
        limited script -qec "'$SLUICE' run --no-progress 'file:in | sh -c \"cat; sleep 1\" | file:out'" /dev/null >"$OUT" 2>"$ERR" </dev/null
        [ ! -s "$OUT" ] || fail "--no-progress on a terminal: $(cat -v "$OUT")"
fi
true
