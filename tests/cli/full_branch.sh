# Promises: a branch whose disk is full is named, and the others have everything, whatever policy the branch has; behind a strict
# tee it ends them. What its policy kept is counted.
. "$(dirname "$0")/lib.sh"

make_bytes 3000000 in
seq 1 400000 >lines

for policy in '' 'drop: | ' 'drop:,records=none | ' "spill:$T | " 'lines: | drop: | ' "spill:$T | count: | "; do
        for driver in inline ring copy; do
                rm -f a b
                expect_status 1 "$SLUICE" run --driver="$driver" "file:lines | tee(file:a, ${policy}file:/dev/full, cat | file:b)"
                [ "$(grep -c 'No space left on device' "$ERR")" = 1 ] || fail "'$policy' ($driver) says: $(cat "$ERR")"
                grep -q '^sluice: file:/dev/full: .*No space left' "$ERR" || fail "'$policy' does not name the sink: $(cat "$ERR")"
                expect_same lines a
                expect_same lines b
        done
        expect_status 1 "$SLUICE" run "yes | tee-strict(file:/dev/null, ${policy}file:/dev/full)"
        grep -q 'No space left' "$ERR" || fail "strict, '$policy': $(cat "$ERR")"
done

# The reader takes nothing before all has been sent: what drop: let through, dropped and had on its way is all there was.
mkfifo go
limited "$SLUICE" run --json "file:in | tee(file:a, drop:,records=none | sh -c 'read go <go; cat' | file:b)" >"$OUT" 2>"$ERR" &
pid=$!
until_true cmp -s in a || fail 'drop: keeps the other branch waiting'
echo >go
wait "$pid" || fail "drop: status $?: $(cat "$ERR")"
dropped=$(jq -r '.stages[] | select(.name == "drop") | .reports.dropped' "$OUT")
[ "$((dropped + $(stat -c %s b)))" = 3000000 ] || fail "dropped $dropped, arrived $(stat -c %s b): $(cat "$OUT")"
