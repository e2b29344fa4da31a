# What the script tests share: a directory of their own in memory, expectations, listeners on free ports, and at the end
# the check that no process and no temporary file of the test is left. Sourced; SLUICE is the path of the command.
#
#   fail WORDS              counts a failure and goes on
#   skip WORDS              ends the test as skipped
#   expect_status N CMD...  runs CMD, its output in $OUT and $ERR, and compares its exit status
#   expect_stderr N REGEX   the last command said exactly N lines on stderr, and one of them matches
#   expect_same A B         two files have the same bytes
#   until_true CMD...       asks again until CMD is true; false after about 10 s
set -u
: "${SLUICE:?the path of the command}"

fails=0
SANITIZE=${SANITIZE-}
SHORT=$SANITIZE${SLUICE_TEST_SHORT-} # not empty: a part of the cases will do, as t_short() of fixture.h has it
ROOT=$(mktemp -d /dev/shm/sluice-test.XXXXXX) || exit 1
T=$ROOT/work
OUT=$ROOT/stdout
ERR=$ROOT/stderr
mkdir "$T" && cd "$T" || exit 1
chmod 755 "$ROOT" "$T"
# Whatever the test starts carries this in its environment.
export SLUICE_TEST_MARK=$ROOT
exec </dev/null

fail()
{
        printf 'FAIL: %s\n' "$*" >&2
        fails=$((fails + 1))
}

skip()
{
        printf 'skipped: %s\n' "$*" >&2
        skipped=1
        exit 77
}

pause()
{
        sleep 0.02
}

until_true()
{
        local i

        for ((i = 0; i < 500; i++)); do
                "$@" && return 0
                pause
        done
        return 1
}

# The processes that this test started and that are left: one number a line. This shell and its subshells were not
# executed with the mark.
marked_processes()
{
        (
                unset SLUICE_TEST_MARK
                grep -lszF "SLUICE_TEST_MARK=$ROOT" /proc/[0-9]*/environ 2>/dev/null | cut -d/ -f3
        )
}

# process_count N: that many of them run.
process_count()
{
        # shellcheck disable=SC2046
        set -- "$1" $(marked_processes)
        [ $# = $(($1 + 1)) ]
}

no_processes()
{
        process_count 0
}

temporary_files()
{
        find "$T" -name '.*.sluice-*' 2>/dev/null
}

at_exit()
{
        local status=$? left pid

        trap - EXIT
        if ! until_true no_processes; then
                left=$(for pid in $(marked_processes); do tr '\0' ' ' <"/proc/$pid/cmdline"; echo; done)
                fail "processes left: $left"
                for pid in $(marked_processes); do
                        kill -KILL "$pid"
                done
        fi
        [ -z "$(temporary_files)" ] || fail "temporary files left: $(temporary_files)"
        type -t clean_up >/dev/null && clean_up
        cd /
        rm -rf "$ROOT"
        [ "${skipped-}" ] && [ "$fails" = 0 ] && exit 77
        [ "$fails" = 0 ] && exit "$status"
        exit 1
}
trap at_exit EXIT

# No command may hang; one that does is killed, and that is no status anybody expects.
limited()
{
        timeout --foreground -s KILL 30 "$@"
}

expect_status()
{
        local want=$1

        shift
        limited "$@" >"$OUT" 2>"$ERR"
        STATUS=$?
        [ "$STATUS" = "$want" ] || fail "$*: exit status $STATUS, not $want; stderr: $(head -c 600 "$ERR")"
}

expect_stderr()
{
        local lines

        lines=$(grep -c '' "$ERR")
        [ "$lines" = "$1" ] && [ "$1" = 0 ] && return
        [ "$lines" = "$1" ] || fail "$lines lines on stderr, not $1: $(cat "$ERR")"
        grep -qE -- "$2" "$ERR" || fail "stderr does not match /$2/: $(cat "$ERR")"
}

expect_same()
{
        cmp -- "$1" "$2" >&2 || fail "$1 and $2 differ"
}

# Bytes that repeat nowhere near, the same every time.
make_bytes()
{
        if [ "$1" = 0 ]; then
                : >"$2"
        else
                seq 1 $(($1 / 6 + 20000)) | head -c "$1" >"$2"
        fi
}

listening()
{
        grep -q "^ *[0-9]*: 0100007F:$(printf %04X "$1") 00000000:0000 0A" /proc/net/tcp
}

# Bound is not yet listening.
unix_listening()
{
        grep -q "00010000 .* $1\$" /proc/net/unix
}

random_port()
{
        PORT=$((20000 + (RANDOM * 32768 + RANDOM) % 12000))
}

# start_listener PIPELINE [OPTION...]: runs it in the background with PORT in it replaced by a free port: sets $PORT and
# $LISTENER. Another process may take the port first: then again with another.
start_listener()
{
        local pipeline=$1 try

        shift
        for ((try = 0; try < 20; try++)); do
                random_port
                listening "$PORT" && continue
                timeout --foreground -s KILL 60 "$SLUICE" run "$@" "${pipeline//PORT/$PORT}" >"$ROOT/listener.out" 2>"$ROOT/listener.err" &
                LISTENER=$!
                until_true eval 'listening "$PORT" || ! kill -0 $LISTENER 2>/dev/null'
                listening "$PORT" && return 0
                wait "$LISTENER"
                grep -q 'Address already in use' "$ROOT/listener.err" || break
        done
        fail "no listener: $(cat "$ROOT/listener.err")"
        return 1
}

# start_unix_listener PATH PIPELINE [OPTION...]
start_unix_listener()
{
        local path=$1 pipeline=$2

        shift 2
        timeout --foreground -s KILL 60 "$SLUICE" run "$@" "$pipeline" >"$ROOT/listener.out" 2>"$ROOT/listener.err" &
        LISTENER=$!
        until_true unix_listening "$path" || fail "no listener: $(cat "$ROOT/listener.err")"
}

# The listener has ended well.
end_listener()
{
        wait "$LISTENER" || fail "the listener failed: $(cat "$ROOT/listener.err")"
}
