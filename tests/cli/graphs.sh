# Promises: merge(a, b), merge-raw, merge-turns and concat join what their branches give, and par(N, a | b) gives what one would
# have given; what is written wrongly is marked where it is wrong; explain, --dot, -v and --json show the graph as it runs; and
# the status is that of the branch or copy that failed.
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

# says PIPELINE TEXT: it ends well, and that is its output.
says()
{
        expect_status 0 "$SLUICE" run "$1"
        expect_stderr 0 ''
        [ "$(cat "$OUT"; echo .)" = "$(printf '%b.' "$2")" ] || fail "'$1' says '$(head -c 200 "$OUT")', not '$2'"
}

# sorted PIPELINE FILE: it ends well, and its output is that of FILE in another order of lines.
sorted()
{
        expect_status 0 "$SLUICE" run "$1"
        expect_stderr 0 ''
        sort "$OUT" | cmp -s - "$2" || fail "'$1' does not give the lines of $2"
}

printf 'a1\na2' >a
printf 'b1\n' >b
: >empty
seq 1 60000 >numbers
seq 60001 90000 >more
sort numbers more >both

# ---- merge ----
says 'concat(file:a, file:b) | -'                        'a1\na2b1\n'
says 'concat(file:a, file:empty, cat b | tr b c) | cat'  'a1\na2c1\n'
says 'concat(echo x, echo y | cat, printf z)|-'          'x\ny\nz'
says 'merge-turns(file:a, file:b, file:a) | -'           'a1\nb1\na1\na2\na2\n'
says 'merge-turns(file:empty, file:b) | sed s/b/c/ | -'  'c1\n'
says 'merge(file:a) | -'                                 'a1\na2\n'
says 'merge-raw(file:a) | -'                             'a1\na2'
says 'merge(file:empty, file:empty) | -'                 ''
expect_status 0 "$SLUICE" run 'concat(concat(file:b, file:b), concat(file:b)) | wc -l'
[ "$(cat "$OUT")" = 3 ] || fail "three lines are $(cat "$OUT")"
sorted 'merge(file:numbers, file:more) | -'                            both
sorted 'merge(cat numbers, cat more | cat) | cat'                      both
sorted 'merge(merge(file:numbers, file:empty), merge-turns(cat more)) | tee(file:copy, -)' both
sort copy | cmp -s - both || fail 'the copy of what was merged differs'
sorted 'merge-raw(cat numbers | lines:, cat more | lines:) | -'        both
sorted '  merge(  file:numbers  ,  file:more  )  |  -' both
limited "$SLUICE" run -- 'concat(file:a, -) | cat' <b >c 2>"$ERR" || fail "from stdin: $(cat "$ERR")"
[ "$(cat c)" = "$(printf 'a1\na2b1')" ] || fail "concat with stdin gave $(cat c)"
for driver in auto inline ring copy; do
        expect_status 0 "$SLUICE" run --driver="$driver" 'concat(file:numbers, cat more, file:numbers) | file:c'
        cat numbers more numbers | cmp -s - c || fail "concat by $driver differs"
done
if command -v socat >/dev/null; then
        socat -U "UNIX-LISTEN:$T/socket" OPEN:more &
        until_true unix_listening "$T/socket"
        sorted 'merge(file:numbers, unix:socket) | -' both
        wait
fi

# A branch that has enough of a reader, and a reader that has enough of its branches.
expect_status 0 "$SLUICE" run 'merge-raw(yes, generate:, zero:) | head -c 5 | wc -c'
[ "$(cat "$OUT")" = 5 ] || fail "head -c 5 gave $(cat "$OUT")"
expect_status 0 "$SLUICE" run 'merge(yes | head -n 3, echo z) | sort'
[ "$(cat "$OUT")" = "$(printf 'y\ny\ny\nz')" ] || fail "head in a branch: $(cat "$OUT")"

# ---- par ----
for par in 'par(4, cat)' 'par(1,part=4k, cat)' 'par(3,part=4k,records=none, cat | cat)' 'par(2,order=input,part=16k, lines:)' \
        'par(2,records=lines, par(2,part=4k, cat))' 'par(4,part=4k, compress:1) | decompress:' '  par(  4  ,  cat  )  '; do
        expect_status 0 "$SLUICE" run "file:numbers|$par|-"
        expect_same numbers "$OUT"
done
sort numbers >sorted-numbers
sorted 'file:numbers | par(4,part=4k,order=any, cat) | -' sorted-numbers
expect_status 0 "$SLUICE" run 'file:numbers | par(4,part=16k, gzip -c) | file:numbers.gz'
gzip -dc numbers.gz | cmp -s - numbers || fail 'par of gzip does not gunzip to its input'
expect_status 0 "$SLUICE" run 'file:empty | par(4, gzip -c) | file:empty.gz'
[ "$(gzip -dc empty.gz | wc -c)" = 0 ] || fail 'par of gzip of nothing is no gzip file'
limited "$SLUICE" run 'par(4,part=8k, sed s/^/x/)' <numbers >c 2>"$ERR" || fail "par from stdin to stdout: $(cat "$ERR")"
sed s/^/x/ numbers | cmp -s - c || fail 'par from stdin to stdout differs'
expect_status 0 "$SLUICE" run 'file:numbers | tee(par(2,part=4k, sed s/^/x/) | file:c, par(2, wc -l) | file:d)'
sed s/^/x/ numbers | cmp -s - c || fail 'par in a branch differs'
[ "$(cat d)" = 60000 ] || fail "par( wc -l) of one part says $(cat d)"
expect_status 0 "$SLUICE" run 'merge(cat numbers | par(2,part=4k, cat), file:more) | sort | file:c'
expect_same both c

# ---- drop: never waits, and says what it dropped ----
expect_status 0 "$SLUICE" run --json 'file:numbers | drop: | file:c'
if command -v jq >/dev/null; then
        jq -e --argjson bytes "$(wc -c <numbers)" --argjson lines 60000 --argjson kept "$(wc -c <c)" --argjson left "$(wc -l <c)" \
                '.stages[] | select(.name == "drop") | .reports |
                (.dropped | tonumber) + $kept == $bytes and (.dropped_lines | tonumber) + $left == $lines' <"$OUT" >/dev/null ||
                fail "drop does not add up: $(cat "$OUT")"
fi

# ---- usage, marked ----
out='has one input or more, and an output'
usage 'merge(file:a, file:b)'                 '^~~~~'                            "$out"
usage 'file:a | merge(file:b) | -'            '         ^~~~~'                   'takes its input from its branches'
usage 'file:a | concat(file:b) | -'           '         ^~~~~~'                  'takes its input from its branches'
usage 'merge(file:a'                          '^'                                'this merge\( is never closed'
usage 'merge-raw(file:a, file:b'              '^'                                'this merge-raw\( is never closed'
usage 'concat(merge(file:a, file:b) | -'      '                               ^' "'-' is standard input"
usage 'merge()'                               '      ^'                          'no stage here'
usage 'merge( | cat) | -'                     '       ^'                         'no stage here'
usage 'merge(file:a, ) | -'                   '              ^'                  'no stage here'
usage 'merge(, file:a) | -'                   '      ^'                          'no stage here'
usage 'merge(file:a,file:b) | -'              '             ^~~~~~'              "no option 'file:b'"
usage 'merge(file:a) x | -'                   '              ^'                  'nothing follows'
usage 'merge (file:a) | -'                    '      ^'                          'means nothing here'
usage 'merge(-, -) | cat'                     '         ^'                       'a second branch begins at standard input'
usage 'merge(tee(file:a)) | -'                '      ^~~'                        'takes its input from a stage before it'
usage 'merge(cat a | tee(cat, cat), file:b) | -' '              ^~~'             'nothing comes out of a tee'
usage 'par(2, cat | tee(cat, cat))'           '             ^~~'                 'nothing comes out of a tee'
usage 'merge(file:a | file:c, file:b) | -'    '               ^~~~~~'            'only be the first or the last'
usage 'merge(file:a | null:, file:b) | -'     '               ^~~~~'             'only be the first or the last'
usage 'merge(par(2, cat), file:b) | -'        '      ^~~'                        'stands between two stages'
usage 'merge(bogus:x) | -'                    '      ^~~~~~'                     "no stage 'bogus:'"
usage 'par()'                                 '    ^'                            'how many at once, 1 to 256'
usage 'par(, cat)'                            '    ^'                            'how many at once'
usage 'par(0, cat)'                           '    ^'                            'how many at once'
usage 'par(257, cat)'                         '    ^~~'                          'how many at once'
usage 'par(4k, cat)'                          '    ^~'                           'how many at once'
usage 'par(-1, cat)'                          '    ^~'                           'how many at once'
usage 'par(cat)'                              '    ^~~'                          'how many at once'
usage 'par(4)'                                '     ^'                           'with a blank behind the comma'
usage 'par(4 cat)'                            '      ^'                          'with a blank behind the comma'
usage 'par(4,cat)'                            '      ^~~'                        "blank before it: 'par\(4, cat'"
usage 'par(4,part=1k, cat)'                   '      ^~~~~~~'                    'part=SIZE'
usage 'par(4,part, cat)'                      '      ^~~~'                       'option of par\( has a value'
usage 'par(4,part=8k,records=words, cat)'     '              ^~~~~~~~~~~~~'      'records=lines'
usage 'par(4,order=none, cat)'                '      ^~~~~~~~~~'                 'order=input'
usage 'par(4, )'                              '       ^'                         'no stage here'
usage 'par(4, cat'                            '^'                                'this par\( is never closed'
usage 'par(4, cat, cat)'                      '          ^'                      'one pipeline'
usage 'par(4, cat) x'                         '            ^'                    'nothing follows'
usage 'par(4, -)'                             '       ^'                         "'-' is standard input"
usage 'file:a | par(2, merge(cat, seq 3)) | -' '                ^~~~~'           "a part of the par's"
usage 'file:a | par(4, file:b) | -'           '         ^~~~~~~~~~~~~~~'         'only be the first or the last'
usage 'par(2, bogus:x)'                       '       ^~~~~~'                    "no stage 'bogus:'"
usage 'drop:x'                                '     ^'                           'takes no argument'
usage 'file:a | drop:,max=1m | -'             '               ^~~~~~'            '128k at most'

# ---- statuses ----
expect_status 3 "$SLUICE" run "merge(file:numbers, sh -c 'exit 3') | file:c"
expect_stderr 1 'sh: exit status 3'
expect_same numbers c
expect_status 127 "$SLUICE" run 'merge(file:a, no-such-command-here) | file:never'
expect_status 127 "$SLUICE" run 'file:a | par(2, no-such-command-here) | null:'
expect_status 1 "$SLUICE" run 'merge(file:a, file:no-such-file) | file:never'
[ ! -e never ] || fail 'a run that never began made a file'
expect_status 7 "$SLUICE" run "file:numbers | par(3,part=4k, sh -c 'cat >/dev/null; exit 7') | null:"
expect_stderr 1 'par: sh: exit status 7'
expect_status 1 "$SLUICE" run 'zero: | par(2,part=4k, cat) | null:'
expect_stderr 1 'a line has 32768 bytes or more'
expect_status 1 "$SLUICE" run 'merge(file:a, zero:) | null:'
expect_stderr 1 'line 1 is longer than 65536 bytes'
expect_status 124 "$SLUICE" run --timeout=100ms 'merge(sleep 1000, yes) | par(2,part=4k, cat) | null:'

# ---- explain, --dot, -v, --json ----
graph='merge(file:a, cat b) | par(2, gzip -c) | tee(file:x, drop: | file:y)'
rm -f x y
expect_status 0 "$SLUICE" explain "$graph"
for link in 'file:a -> merge' 'cat -> merge' 'merge -> par' 'par -> tee' 'tee -> file:x' 'tee -> drop' 'drop -> file:y'; do
        [ "$(grep -c "^$link  " "$OUT")" = 1 ] || fail "explain has no line '$link': $(cat "$OUT")"
done
[ "$(sed '/^inside/,$d' "$OUT" | sed -n '/^LINK/,$p' | grep -c .)" = 8 ] || fail "explain says more or less than seven links: $(cat "$OUT")"
[ "$(sed -n '/^inside par, up to 2 at once:/,$p' "$OUT" | grep -cE '^(part -> gzip|gzip -> result) +cross ')" = 2 ] ||
        fail "explain does not say what is inside: $(cat "$OUT")"
expect_status 0 "$SLUICE" explain --dot "$graph"
[ "$(grep -c -- 's[0-9] -> s[0-9] ' "$OUT")" = 7 ] || fail "--dot has not seven links: $(cat "$OUT")"
[ "$(grep -c 's[0-9] \[label="[^"]*"\];' "$OUT")" = 8 ] || fail "--dot has not eight stages: $(cat "$OUT")"
[ "$(grep -c 'cluster_s3\|s3_[0-9] -> s3_[0-9] \|s3 -> s3_0 \[style=dashed' "$OUT")" = 4 ] ||
        fail "--dot does not draw what is inside: $(cat "$OUT")"
if command -v dot >/dev/null; then
        limited dot -Tsvg "$OUT" >graph.svg || fail 'graphviz does not read what --dot says'
fi
expect_status 0 "$SLUICE" explain --json "$graph"
[ "$(jq -c '[(.links|length), (.inside[]|.stage,.copies,(.pipeline.links|length))]' "$OUT")" = '[7,3,2,2]' ] ||
        fail "--json does not say what is inside: $(cat "$OUT")"
expect_status 2 "$SLUICE" explain --dot --json "$graph"
expect_stderr 2 'exclude each other'
expect_status 0 "$SLUICE" explain --dot "$graph"
[ "$(grep -c -- '-> s2 ' "$OUT")" = 2 ] || fail "--dot does not draw two inputs: $(cat "$OUT")"
if [ -e x ] || [ -e y ]; then
        fail 'explain ran'
fi
for how in merge-raw merge-turns concat; do
        expect_status 0 "$SLUICE" explain "$how(file:a, cat b) | file:x"
        [ "$(grep -c " -> $how  " "$OUT")" = 2 ] || fail "explain does not name $how: $(cat "$OUT")"
done
expect_status 0 "$SLUICE" run -v "$graph"
for stage in file:a cat merge par tee file:x drop file:y; do
        [ "$(grep -cE "^$stage +ok " "$ERR")" = 1 ] || fail "-v has no line of $stage: $(cat "$ERR")"
done
[ "$(grep -c -- ' -> ' "$ERR")" -ge 7 ] || fail "-v has not every link: $(cat "$ERR")"
[ "$(gzip -dc x)" = "$(gzip -dc y)" ] || fail 'the branches differ'
if command -v jq >/dev/null; then
        expect_status 0 "$SLUICE" run --json "$graph"
        jq -e '(.stages | length) == 8 and (.links | length) == 7 and ([.links[] | select(.to == "merge")] | length) == 2' <"$OUT" \
                >/dev/null || fail "--json: $(cat "$OUT")"
fi
true
