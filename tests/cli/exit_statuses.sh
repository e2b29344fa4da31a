# Promises: the exit status says what happened (0, a command's own, 1, 2, 124, 126, 127, 128+signal), with one clear line
# on stderr that names stage and cause; a usage error has three: the message, the text, the marks. Nothing hangs.
. "$(dirname "$0")/lib.sh"

# usage PIPELINE MARKS REGEX: refused, with MARKS under the text.
usage()
{
        expect_status 2 "$SLUICE" run "$1"
        expect_stderr 3 "$3"
        [ "$(sed -n 2p "$ERR")" = "  $1" ] || fail "the text of '$1' is not repeated: $(cat "$ERR")"
        [ "$(sed -n 3p "$ERR")" = "  $2" ] || fail "the marks of '$1' are wrong: $(cat "$ERR")"
        [ ! -s "$OUT" ] || fail "a usage error of '$1' wrote to stdout"
}

echo payload >in

# ---- 0 ----
expect_status 0 "$SLUICE" run 'file:in | cat | null:'
expect_stderr 0 ''
expect_status 0 "$SLUICE" run 'true'
expect_status 0 "$SLUICE" run 'null: | file:empty'
printf 'a\nb\n' >copied.in
for text in '' '   '; do # no stages at all: standard input to standard output
        expect_status 0 "$SLUICE" run "$text" <copied.in
        cmp -s copied.in "$OUT" || fail "'$text' did not copy standard input"
done
[ -e empty ] && [ ! -s empty ] || fail 'null: | file:empty left something else than an empty file'

# ---- a command's own ----
expect_status 7 "$SLUICE" run "sh -c 'exit 7'"
expect_stderr 1 '^sluice: sh: exit status 7$'
expect_status 3 "$SLUICE" run "file:in | sh -c 'cat >/dev/null; exit 3' | file:out"
expect_stderr 1 '^sluice: sh: exit status 3$'
expect_status 5 "$SLUICE" run "sh -c 'echo payload; exit 5' | cat | null:"
expect_stderr 1 '^sluice: sh: exit status 5$'
expect_status 1 "$SLUICE" run 'file:in | grep -q nothing'
expect_stderr 1 '^sluice: grep: exit status 1'

# ---- 1: a stage of sluice ----
expect_status 1 "$SLUICE" run 'file:missing | file:out1'
expect_stderr 1 '^sluice: file:missing: .*No such file or directory'
expect_status 1 "$SLUICE" run 'file:missing | cat | file:out1'
expect_stderr 1 '^sluice: file:missing: .*No such file or directory'
expect_status 1 "$SLUICE" run "file:$T | file:out1"
expect_stderr 1 "^sluice: file:$T: .*Is a directory"
expect_status 1 "$SLUICE" run "file:in | file:$T"
expect_stderr 1 "^sluice: file:$T: .*Is a directory"
expect_status 1 "$SLUICE" run "file:in | file:$T/no/such/directory"
expect_stderr 1 '^sluice: file:.*/no/such/directory: .*No such file or directory'
expect_status 1 "$SLUICE" run 'fd:77 | null:'
expect_stderr 1 '^sluice: fd:77: .*77 is not open'
[ ! -e out1 ] || fail 'a run that failed to open left its sink'

random_port
while listening "$PORT"; do
        random_port
done
expect_status 1 "$SLUICE" run "file:in | tcp:127.0.0.1:$PORT"
expect_stderr 1 "^sluice: tcp:127.0.0.1:$PORT: .*Connection refused"
expect_status 1 "$SLUICE" run 'file:in | tcp:x.invalid:9'
expect_stderr 1 '^sluice: tcp:x.invalid:9: .*x\.invalid'
expect_status 1 "$SLUICE" run "file:in | unix:$T/nobody"
expect_stderr 1 "^sluice: unix:$T/nobody: .*No such file or directory"
expect_status 1 "$SLUICE" run "unix-listen:$T/nobody,timeout=100ms | null:"
expect_stderr 1 "^sluice: unix-listen:$T/nobody: .*nobody connected within 0.1 s"
[ ! -e nobody ] || fail 'the socket of a listener that nobody came to is left'

start_listener 'tcp-listen:127.0.0.1:PORT | null:'
expect_status 1 "$SLUICE" run "tcp-listen:127.0.0.1:$PORT | null:"
expect_stderr 1 "^sluice: tcp-listen:127.0.0.1:$PORT: .*Address already in use"
expect_status 0 "$SLUICE" run "file:in | tcp:127.0.0.1:$PORT"
end_listener

# No space, by a limit of the process: as a message, not as a death by SIGXFSZ; in every way of moving.
for driver in auto inline ring copy; do
        expect_status 1 bash -c 'ulimit -f 64; exec "$@"' - "$SLUICE" run "--driver=$driver" 'zero:1M | file:limited'
        expect_stderr 1 '^sluice: file:limited: .*File too large'
done
if [ "$(id -u)" = 0 ] && unshare -m true 2>/dev/null; then
        mkdir small
        for driver in auto inline ring copy; do
                expect_status 1 unshare -m sh -c 'mount -t tmpfs -o size=64k none small && exec "$@"' - "$SLUICE" run \
                        "--driver=$driver" 'zero:1M | file:small/out'
                expect_stderr 1 '^sluice: file:small/out: .*No space left on device'
        done
        expect_status 1 unshare -m sh -c 'mount -t tmpfs -o size=64k none small && exec "$@"' - "$SLUICE" run \
                'zero:1M | file:small/out,atomic'
        expect_stderr 1 '^sluice: file:small/out: .*No space left on device'
fi
if [ -e /dev/full ]; then
        expect_status 1 "$SLUICE" run 'file:in | file:/dev/full'
        expect_stderr 1 '^sluice: file:/dev/full: .*No space left on device'
fi

if [ "$(id -u)" = 0 ] && [ -x "$(command -v setpriv)" ]; then
        chmod 600 in
        cp "$SLUICE" "$ROOT/sluice" && chmod 755 "$ROOT/sluice"
        expect_status 1 setpriv --reuid=65534 --regid=65534 --clear-groups "$ROOT/sluice" run 'file:in | null:'
        expect_stderr 1 '^sluice: file:in: .*Permission denied'
        expect_status 1 setpriv --reuid=65534 --regid=65534 --clear-groups "$ROOT/sluice" run 'null: | file:forbidden'
        expect_stderr 1 '^sluice: file:forbidden: .*Permission denied'
fi

# ---- 2: usage, marked ----
usage 'fiel:x | -'                '^~~~~'                "no stage 'fiel:', did you mean 'file:'\?"
usage 'cat | quux:x'              '      ^~~~~'          "no stage 'quux:'"
usage "file:'x | -"               '     ^'               'quote is never closed'
usage 'echo "x | cat'             '     ^'               'quote is never closed'
usage '- |'                       '   ^'                 'there is no stage here'
usage '| cat'                     '^'                    'there is no stage here'
usage 'cat | | cat'               '      ^'              'there is no stage here'
usage 'tcp:127.0.0.1:70000 | -'   '    ^~~~~~~~~~~~~~~'  'port'
usage 'tcp:127.0.0.1:0 | -'       '    ^~~~~~~~~~~'      'port'
usage 'tcp:host | -'              '    ^~~~'             'port'
usage '- | cat > x'               '        ^'            "redirection.*\| file:"
usage 'cat < x | -'               '    ^'                'redirection.*file:'
usage 'cat; true'                 '   ^'                 'sh -c'
usage 'cat &'                     '    ^'                'sh -c'
usage 'file:in,foo=1 | -'         '        ^~~~~'        "no option 'foo'"
usage 'file:in,length=x | -'      '        ^~~~~~~~'     'length'
usage 'file: | -'                 '     ^'               'path'
usage 'fd:x | -'                  '   ^'                 'descriptor'
usage 'file:in'                   '^~~~~~~'              'one stage'
usage 'file:in | file:a | file:b' '          ^~~~~~'     'first or the last'
usage 'cat | - | cat'             '      ^'              'first stage or output as the last'
usage 'cat | zero:5'              '      ^~~~~~'         'source'
usage "cat | ''"                  '      ^~'             'empty'

# No pipeline to mark: two lines.
expect_status 2 "$SLUICE" run --frobnicate '- | -'
expect_stderr 2 "no option '--frobnicate'"
expect_status 2 "$SLUICE" run -x '- | -'
expect_stderr 2 "no option '-x'"
expect_status 2 "$SLUICE" run --driver=fast '- | -'
expect_stderr 2 "auto, inline, ring, copy.*'fast'"
expect_status 2 "$SLUICE" run --timeout=soon '- | -'
expect_stderr 2 "duration.*'soon'"
expect_status 2 "$SLUICE" run --timeout
expect_stderr 2 "'--timeout' needs a value"
expect_status 2 "$SLUICE" run --no-splice --forbid-copy '- | -'
expect_stderr 2 'exclude'
expect_status 2 "$SLUICE" run
expect_stderr 2 'no pipeline'
expect_status 2 "$SLUICE" run - '|' cat
expect_stderr 2 'in quotes'
expect_status 2 "$SLUICE"
expect_stderr 2 'no subcommand'
expect_status 2 "$SLUICE" frobnicate
expect_stderr 2 "no subcommand 'frobnicate'"
expect_status 2 "$SLUICE" explain
expect_stderr 2 'no pipeline'
expect_status 2 "$SLUICE" explain 'fiel:x | -'
expect_stderr 3 "did you mean 'file:'"
expect_status 2 "$SLUICE" doctor now
expect_stderr 2 'no arguments'
expect_status 2 "$SLUICE" doctor --frobnicate
expect_stderr 2 "no option '--frobnicate'"

# A guard that cannot be made has no commands to signal.
expect_status 1 bash -c 'ulimit -n 9; exec "$SLUICE" run --fail-fast --contain=guard "true | cat"'

# ---- 124: the deadline ----
# "For ever" as a program says it is no overflow.
expect_status 0 "$SLUICE" run --timeout=9223372036854775807ms --grace=9223372036854775807ms 'sleep 0.1'
expect_status 124 "$SLUICE" run --timeout=100ms 'sleep 50'
expect_stderr 1 'deadline of 100 ms'
expect_status 124 "$SLUICE" run --timeout=100ms 'zero: | null:'
expect_stderr 1 'deadline of 100 ms'
expect_status 124 "$SLUICE" run --timeout=100ms 'sleep 50 | cat | null:'
expect_stderr 1 'deadline of 100 ms'
expect_status 124 "$SLUICE" run --timeout=100ms 'unix-listen:nobody | null:'
expect_stderr 1 'deadline of 100 ms'
# One that will not be asked is killed.
expect_status 124 "$SLUICE" run --timeout=100ms "sh -c 'trap \"\" TERM; while :; do sleep 0.1; done'"
expect_stderr 1 'deadline of 100 ms'

# ---- 126 and 127 ----
touch not-executable
expect_status 126 "$SLUICE" run './not-executable | cat'
expect_stderr 1 '^sluice: ./not-executable: not executable'
expect_status 126 "$SLUICE" run "cat | $T"
expect_stderr 1 "^sluice: $T: not executable"
expect_status 127 "$SLUICE" run 'no-such-command-here | cat'
expect_stderr 1 '^sluice: no-such-command-here: command not found'
expect_status 127 "$SLUICE" run 'file:in | ./no-such-command | null:'
expect_stderr 1 '^sluice: ./no-such-command: no such file'
printf '#!/no/such/interpreter\n' >broken && chmod +x broken
expect_status 127 "$SLUICE" run './broken | null:'
expect_stderr 1 '^sluice: ./broken: '

# ---- 128 + signal ----
for signal in KILL:9 TERM:15 SEGV:11 INT:2; do
        expect_status $((128 + ${signal#*:})) "$SLUICE" run "sh -c 'kill -${signal%:*} \$\$' | null:"
        expect_stderr 1 "^sluice: sh: killed by SIG${signal%:*}"
done
for signal in TERM:15 INT:2 HUP:1; do
        for pipeline in 'sleep 500 | sleep 500' 'zero: | null:' "sh -c 'echo \$\$; exec sleep 500' | cat"; do
                # A shell starts what is in the background with SIGINT ignored: env gives it back.
                env --default-signal=INT "$SLUICE" run "$pipeline" >"$OUT" 2>"$ERR" &
                pid=$!
                case $pipeline in
                sleep*) until_true process_count 3 || fail "no children of $pipeline" ;;
                zero*) until_true eval "[ \"\$(tr '\\0' ' ' </proc/$pid/cmdline)\" = '$SLUICE run zero: | null: ' ] &&
                        grep -q 'SigCgt:.*[1-9a-f]' /proc/$pid/status &&
                        [ \$((0x\$(sed -n 's/^SigCgt:\\t//p' /proc/$pid/status) & 0x4000)) != 0 ]" || fail 'not started' ;;
                *) until_true test -s "$OUT" || fail 'not started' ;;
                esac
                kill "-${signal%:*}" "$pid"
                wait "$pid"
                status=$?
                [ "$status" = $((128 + ${signal#*:})) ] || fail "SIG${signal%:*} to '$pipeline': $status; $(cat "$ERR")"
                no_processes || fail "SIG${signal%:*} to '$pipeline': children outlive it"
                [ "$(grep -c '' "$ERR")" -le 1 ] || fail "SIG${signal%:*} to '$pipeline': $(cat "$ERR")"
        done
done
