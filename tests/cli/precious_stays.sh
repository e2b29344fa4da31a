# Promises: a pipeline that cannot begin destroys nothing: an old file keeps its contents, and none is made.
. "$(dirname "$0")/lib.sh"

echo 'years of work' >precious
cp precious copy
identity=$(stat -c '%i %Y %s' precious)

for driver in auto inline ring copy; do
        for sink in file:precious file:precious,atomic append:precious file:precious-new file:precious-new,atomic append:precious-new; do
                expect_status 1 "$SLUICE" run "--driver=$driver" "file:missing | $sink"
                expect_status 1 "$SLUICE" run "--driver=$driver" "file:missing | cat | $sink"
                expect_status 127 "$SLUICE" run "--driver=$driver" "no-such-command-here | $sink"
                expect_status 127 "$SLUICE" run "--driver=$driver" "file:copy | no-such-command-here | $sink"
                expect_status 126 "$SLUICE" run "--driver=$driver" "$T | $sink"
                expect_status 1 "$SLUICE" run "--driver=$driver" "tcp:x.invalid:9 | $sink"
                expect_status 1 "$SLUICE" run "--driver=$driver" "unix:$T/nobody | cat | $sink"
                expect_status 1 "$SLUICE" run "--driver=$driver" "unix-listen:$T/nobody,timeout=20ms | $sink"
        done
done
expect_status 124 "$SLUICE" run --timeout=100ms "unix-listen:$T/nobody | file:precious"
expect_status 124 "$SLUICE" run --timeout=100ms "unix-listen:$T/nobody | file:precious-new"
expect_status 2 "$SLUICE" run 'file:copy,foo | file:precious'
expect_status 2 "$SLUICE" run 'file:copy | cat > | file:precious'
expect_same copy precious
[ "$(stat -c '%i %Y %s' precious)" = "$identity" ] || fail 'precious is another file now'
[ "$(ls -A | tr '\n' ' ')" = 'copy precious ' ] || fail "more than there was: $(ls -A)"
