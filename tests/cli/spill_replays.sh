# Promises: spill: lets a fast branch go on while a slow one takes nothing, gives the slow one everything, says what it kept on
# disk, waits or fails without room, and leaves no file.
. "$(dirname "$0")/lib.sh"

# usage PIPELINE MARKS REGEX
usage()
{
        expect_status 2 "$SLUICE" run "$1"
        expect_stderr 3 "$3"
        [ "$(sed -n 3p "$ERR")" = "  $2" ] || fail "the marks of '$1' are wrong: $(cat "$ERR")"
}

make_bytes 9000000 in
mkdir scratch
mkfifo go

for driver in auto inline ring copy; do
        # The slow branch begins when the fast one has everything, and does not get so far otherwise.
        rm -f a b
        limited "$SLUICE" run --driver="$driver" 'file:in | tee(file:a, spill:scratch/x | sh -c "read go <go; cat" | file:b)' 2>"$ERR" &
        pid=$!
        until_true cmp -s in a || fail "$driver: the fast branch is held up"
        [ ! -s b ] || fail "$driver: the slow branch was not slow"
        [ -z "$(ls scratch)" ] || fail "$driver: a file of the spill has a name"
        echo >go
        wait "$pid" || fail "$driver: status $?: $(cat "$ERR")"
        expect_same in b
        expect_stderr 1 '^spill:scratch/x: spilled [0-9]{7}$'
        # What follows is kept waiting for a while: without room for it all the pipeline waits, and loses nothing.
        expect_status 0 "$SLUICE" run --driver="$driver" 'cat in | spill:scratch,max=64k | sh -c "sleep 0.1; cat" | file:b'
        expect_same in b
        grep -qE '^spill:scratch: waited [0-9]+$' "$ERR" || fail "$driver: it did not wait: $(cat "$ERR")"
done
expect_status 0 "$SLUICE" run --forbid-copy 'file:in | spill:. | file:b'
expect_same in b
expect_status 1 "$SLUICE" run 'zero: | spill:scratch,max=1m,full=fail | sleep 1000 | null:'
grep -qE '^sluice: spill:scratch: what follows is too slow' "$ERR" || fail "full=fail: $(cat "$ERR")"
expect_status 0 "$SLUICE" run 'zero: | spill:scratch | head -c 10 | null:'
[ -z "$(ls scratch)" ] || fail "left in scratch: $(ls scratch)"

echo precious >precious
expect_status 1 "$SLUICE" run 'file:in | spill:precious | null:'
expect_stderr 1 'spill:precious: is there already'
[ "$(cat precious)" = precious ] || fail 'a file was overwritten'
usage 'file:in | spill: | -'               '                ^'           'needs a directory'
usage 'file:in | spill:.,max=1k | -'       '                  ^~~~~~'    'at least 64k'
usage 'file:in | spill:.,full=drop | -'    '                  ^~~~~~~~~' "block, fail, not 'drop'"
expect_status 2 "$SLUICE" run 'spill:. | null:'
expect_status 2 "$SLUICE" run 'zero: | spill:.'
