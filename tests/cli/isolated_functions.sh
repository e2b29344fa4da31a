# Promises: isolated: runs a function of a shared object in a process of its own; what it returns, says and dies of is its
# stage's, in one line; what is not there is found before a sink is touched; and what cannot be meant is a usage error.
. "$(dirname "$0")/lib.sh"

so=$BUILD/tests/object/functions.so
[ -e "$so" ] || skip "no $so"
cp "$so" functions.so
cp "$BUILD/tests/object/undefined.so" .
make_bytes 3000000 big

# usage STAGE MARKS REGEX: refused, with MARKS under the text.
usage()
{
        expect_status 2 "$SLUICE" run "$1 | null:"
        expect_stderr 3 "$3"
        [ "$(sed -n 3p "$ERR")" = "  $2" ] || fail "the marks of '$1' are wrong: $(cat "$ERR")"
}

# ---- it works ----
expect_status 0 "$SLUICE" run 'file:big | isolated:functions.so,symbol=f_copy | cat | isolated:./functions.so,symbol=f_copy | file:copy'
expect_stderr 0 ''
expect_same big copy
expect_status 0 "$SLUICE" run "isolated:$T/functions.so,symbol=f_say,argument='a, b' | -"
[ "$(cat "$OUT")" = 'a, b' ] || fail "f_say said $(cat "$OUT")"
expect_status 0 "$SLUICE" run 'yes | isolated:functions.so,symbol=f_stops_reading'
expect_status 0 "$SLUICE" explain 'file:big | isolated:functions.so,symbol=f_copy | file:copy'
[ "$(grep -c ' direct ' "$OUT")" = 2 ] || fail "not direct: $(cat "$OUT")"

# ---- it dies ----
# dies STATUS STAGE REGEX
dies()
{
        echo old >kept
        expect_status "$1" "$SLUICE" run "isolated:functions.so,$2 | file:kept,atomic"
        grep -qE -- "$3" "$ERR" || fail "$2 said $(cat "$ERR")"
        [ "$(grep -c '^sluice: ' "$ERR")" = 1 ] || fail "$2 said more than one line: $(cat "$ERR")"
        [ "$(cat kept)" = old ] || fail "$2 replaced its atomic file"
}
dies 139 symbol=f_segfault '^sluice: isolated: killed by SIGSEGV$'
dies 134 symbol=f_abort '^sluice: isolated: killed by SIGABRT$'
dies 3 symbol=f_exit,argument=3 '^sluice: isolated: exit status 3 before it returned$'
dies 1 symbol=f_returns,argument=-71 '^sluice: isolated: Protocol error$'
dies 1 symbol=f_whines,argument=woe '^woe$'
expect_status 124 "$SLUICE" run --timeout=200ms --grace=50ms 'isolated:functions.so,symbol=f_deaf | null:'
expect_stderr 1 'deadline of 200 ms'

# ---- it is not there ----
# absent STAGE REGEX
absent()
{
        echo old >kept
        expect_status 1 "$SLUICE" run "isolated:$1 | file:kept"
        expect_stderr 1 "$2"
        [ "$(cat kept)" = old ] || fail "isolated:$1 truncated the sink"
}
absent missing.so,symbol=f '^sluice: isolated: missing\.so: No such file or directory$'
absent functions.so,symbol=f_nowhere "^sluice: isolated: functions\\.so: no function 'f_nowhere'\$"
absent big,symbol=f '^sluice: isolated: big: no shared object of this machine$'
absent "$T,symbol=f" "^sluice: isolated: $T: no shared object of this machine\$"
expect_status 1 "$SLUICE" run 'isolated:undefined.so,symbol=f_calls_nowhere | null:'
expect_stderr 1 '^sluice: isolated: undefined\.so: undefined symbol: nowhere_at_all$'

# ---- usage, marked ----
usage 'isolated:functions.so'             '         ^~~~~~~~~~~~' 'symbol=NAME'
usage 'isolated:,symbol=f'                '         ^'            'path of a shared object'
usage 'isolated:functions.so,symbol='     '                      ^~~~~~~' 'symbol= needs a value'
usage 'isolated:functions.so,symbl=f'     '                      ^~~~~~~' "no option 'symbl' here"

# ---- the worker alone does no harm ----
worker=$BUILD/bin/sluice-worker
if [ -x "$worker" ]; then
        expect_status 127 "$worker"
        expect_stderr 1 'started by libsluice'
        expect_status 127 "$worker" 0 functions.so f_say x
        expect_status 127 "$worker" 99 functions.so f_say x
fi
true
