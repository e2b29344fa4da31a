# Promises: tail: follows a file that grows until it is told to stop, is deleted or idle, says what was truncated, and marks
# what is written wrongly.
. "$(dirname "$0")/lib.sh"

# usage PIPELINE MARKS REGEX
usage()
{
        expect_status 2 "$SLUICE" run "$1"
        expect_stderr 3 "$3"
        [ "$(sed -n 3p "$ERR")" = "  $2" ] || fail "the marks of '$1' are wrong: $(cat "$ERR")"
}

# has FILE LINES
has()
{
        [ -e "$1" ] && [ "$(wc -l <"$1")" -eq "$2" ]
}

# ---- growth, a truncation, the end ----
for driver in auto inline ring copy; do
        rm -f copy
        printf 'one\ntwo\n' >log
        limited "$SLUICE" run --driver="$driver" 'tail:log,until=deleted | file:copy' 2>"$ERR" &
        pid=$!
        until_true has copy 2 || fail "$driver: what was there did not arrive"
        echo three >>log
        until_true has copy 3 || fail "$driver: what was added did not arrive"
        : >log
        echo four >>log
        until_true has copy 4 || fail "$driver: what was written after a truncation did not arrive"
        echo five >>log
        rm log
        wait "$pid" || fail "$driver: status $? at the end: $(cat "$ERR")"
        printf '%s\n' one two three four five | cmp - copy || fail "$driver: the copy is wrong"
        expect_stderr 1 '^tail:log: truncated 1$'
done

# ---- into what comes after it ----
seq 1000 >log
expect_status 0 "$SLUICE" run 'tail:log,until=idle:50ms | tee(grep -c 9 | -, count: | file:copy)'
[ "$(cat "$OUT")" = "$(grep -c 9 log)" ] || fail "grep counted $(cat "$OUT")"
expect_same log copy
expect_status 0 "$SLUICE" run --forbid-copy 'tail:log,until=idle:50ms | cat | file:copy'
expect_same log copy
expect_status 0 "$SLUICE" run 'tail:log | head -n 3 | -'
[ "$(cat "$OUT")" = "$(seq 3)" ] || fail "head said $(cat "$OUT")"
expect_status 0 "$SLUICE" run 'tail:log,from=end,until=idle:50ms | file:copy'
[ ! -s copy ] || fail 'from=end gave what was there before'
expect_status 124 "$SLUICE" run --timeout=100ms 'tail:log | null:'

# ---- explained ----
expect_status 0 "$SLUICE" explain 'tail:log | cat | -'
grep -q '^tail:log -> cat *splice .*it grows' "$OUT" || fail "a command is lent the file: $(cat "$OUT")"

# ---- refused ----
mkfifo fifo
expect_status 1 "$SLUICE" run 'tail:fifo | null:'
expect_stderr 1 'tail:fifo: follows regular files'
expect_status 1 "$SLUICE" run 'tail:missing | file:never'
expect_stderr 1 'tail:missing: .*No such file'
[ ! -e never ] || fail 'a sink was made although the source is missing'
expect_status 1 "$SLUICE" run 'tail:log | append:log'
expect_stderr 1 'both source and sink'
usage 'tail: | -'                  '     ^'                'needs a path'
usage 'tail:log,from=middle | -'   '         ^~~~~~~~~~~'  "start, end, not 'middle'"
usage 'tail:log,until=never | -'   '         ^~~~~~~~~~~'  "forever, deleted or idle:TIME.*'never'"
usage 'tail:log,until=idle:0 | -'  '         ^~~~~~~~~~~~' "forever, deleted or idle:TIME.*'idle:0'"
usage 'tail:log,until=idle: | -'   '         ^~~~~~~~~~~'  'forever, deleted or idle:TIME'
usage 'tail:log,until | -'         '         ^~~~~'        'needs a value'
expect_status 2 "$SLUICE" run 'zero: | tail:log'
