# Promises: tee(a, b | c) gives every branch everything; what is written wrongly is marked; commas and parentheses that belong
# to options and arguments stay theirs; and each branch has its place in what explain and -v print, its failure its status.
. "$(dirname "$0")/lib.sh"

# usage PIPELINE MARKS REGEX: refused, with MARKS under the text; MARKS '': wherever they are.
usage()
{
        expect_status 2 "$SLUICE" run "$1"
        expect_stderr 3 "$3"
        [ "$(sed -n 2p "$ERR")" = "  $1" ] || fail "the text of '$1' is not repeated: $(cat "$ERR")"
        [ -z "$2" ] || [ "$(sed -n 3p "$ERR")" = "  $2" ] || fail "the marks of '$1' are wrong: $(cat "$ERR")"
        [ ! -s "$OUT" ] || fail "a usage error of '$1' wrote to stdout"
}

# holds FILE TEXT
holds()
{
        [ "$(cat "$1")" = "$2" ] || fail "$1 holds '$(head -c 200 "$1")', not '$2'"
}

make_bytes 3000000 in
make_bytes 0 empty
printf 'b,2\na,1\n' >table

# ---- everything, everywhere ----
expect_status 0 "$SLUICE" run 'file:in | tee(cat | file:a, gzip -c | file:b.gz, wc -c)'
expect_stderr 0 ''
expect_same in a
gzip -dc b.gz >b || fail 'b.gz is no gzip file'
expect_same in b
[ "$(cat "$OUT")" -eq 3000000 ] || fail "wc -c counted $(cat "$OUT")"

for driver in auto inline ring copy; do
        rm -f a b c d
        expect_status 0 "$SLUICE" run --driver="$driver" 'cat in | tee(file:a, tee(cat | file:b, count: | file:c), -)'
        for copy in a b c "$OUT"; do
                expect_same in "$copy"
        done
        expect_status 0 "$SLUICE" run --driver="$driver" 'file:empty | tee-strict(file:a, cat | file:b, -)'
        for copy in a b "$OUT"; do
                expect_same empty "$copy"
        done
done
limited "$SLUICE" run -- '- | tee(file:a, -)' <in >b 2>"$ERR" || fail "from stdin: $(cat "$ERR")"
expect_same in a
expect_same in b
limited "$SLUICE" run 'cat | tee(file:a, cat)' <in >b 2>"$ERR" || fail "from stdin by cat: $(cat "$ERR")"
expect_same in a
expect_same in b
limited "$SLUICE" run 'cat | tee(file:a, cat)' <in 2>"$ERR" | head -c 10 >b
head -c 10 in | cmp - b || fail 'a pipe as stdout'

# The end of what failed is an end for the branches, also when functions stand between.
expect_status 3 "$SLUICE" run 'sh -c "cat in; exit 3" | count: | tee(file:a, count: | null:)'
expect_stderr 5 '^sluice: sh: exit status 3$'
expect_same in a

# ---- blanks where they please ----
for text in 'file:in|tee(file:a, file:b)' '  file:in  |  tee(  file:a  ,  file:b  )  ' "$(printf 'file:in |\n tee(file:a,\n file:b\n)')" \
        'file:in | tee(cat|file:a, cat|file:b)' 'file:in | tee(tee(file:a), tee-strict(file:b))'; do
        rm -f a b
        expect_status 0 "$SLUICE" run "$text"
        expect_same in a
        expect_same in b
done

# ---- commas and parentheses that are not ours ----
expect_status 0 "$SLUICE" run "file:table | tee(file:x,sync=data, sort -t',' -k2 | file:y,mode=600,atomic, cut -d\\, -f2 | file:z)"
expect_same table x
holds y "$(printf 'a,1\nb,2')"
holds z "$(printf '2\n1')"
[ "$(stat -c %a y)" = 600 ] || fail "mode=600 made $(stat -c %a y)"
# Within an argument a comma is one; before a blank it is quoted, or it ends the branch: never a guess that runs.
expect_status 0 "$SLUICE" run 'file:table | tee(null:, sort -k1,1 | file:y, tr a,b x,y | file:z)'
holds y "$(printf 'a,1\nb,2')"
holds z "$(printf 'y,2\nx,1')"
expect_status 2 "$SLUICE" run 'file:table | tee(file:never, sort -t, -k2, null:)'
expect_status 127 "$SLUICE" run 'file:table | tee(file:never, sort -t, -k2 | null:)'
[ ! -e never ] || fail 'a branch that was cut at a comma ran'
expect_status 0 "$SLUICE" run "file:table | tee(file:'p(q)', cat | file:\"r)s\", file:t\\,u, file:'v, w', printf '%s' '(' ')' \\) \",\" x,y ',')"
for copy in 'p(q)' 'r)s' t,u 'v, w'; do
        expect_same table "$copy"
done
holds "$OUT" '()),x,y,'
expect_status 0 "$SLUICE" run 'file:table | tee(sh -c "cat >/dev/null; (echo sub, shell)", null:)'
holds "$OUT" 'sub, shell'
# Quoted, it is a command's name; a command may be called tee.
expect_status 127 "$SLUICE" run "file:table | 'tee(x)'"
expect_stderr 1 'tee\(x\)'
if command -v tee >/dev/null; then
        expect_status 0 "$SLUICE" run 'file:table | tee a b | file:c'
        expect_same table a
        expect_same table c
fi

# ---- usage, marked ----
usage 'tee(null:, null:)'                       '^~~'                                'takes its input from a stage before it'
usage 'tee-strict(null:, null:)'                '^~~~~~~~~~'                         'takes its input from a stage before it'
usage 'file:in | tee(null:, null:'              '          ^'                        'never closed'
usage 'file:in | tee(null:, tee(null:, null:)'  '          ^'                        'never closed'
usage 'file:in | tee(null:, tee(null:, null:'   '                     ^'             'never closed'
usage 'file:in | tee(null:, cat'                '          ^'                        'never closed'
usage 'file:in | tee('                          '              ^'                    'no stage here'
usage 'file:in | tee(null:,'                    '                    ^'              'no stage here'
usage 'file:in | tee()'                         '              ^'                    'no stage here'
usage 'file:in | tee(null:, )'                  '                     ^'             'no stage here'
usage 'file:in | tee(, null:)'                  '              ^'                    'no stage here'
usage 'file:in | tee(null:, , null:)'           '                     ^'             'no stage here'
usage 'file:in | tee(cat | , null:)'            '                    ^'              'no stage here'
usage 'file:in | tee(null:, cat | )'            '                           ^'       'no stage here'
usage 'file:in | tee(null:, null:) x'           '                            ^'      'nothing follows'
usage 'file:in | tee(null:), null:'             '                    ^'              'nothing follows'
usage 'file:in | tee(null:, null:) | cat'       '                            ^'      'its branches'
usage 'file:in | tee(tee(null:) | cat, null:)'  '                         ^'         'its branches'
usage 'file:in | tee (null:)'                   '              ^'                    'means nothing here'
usage 'file:in | tee(cat x(y), null:)'          '                   ^'               'means nothing here'
usage 'file:in | null:)'                        '               ^'                   'means nothing here'
usage 'file:in | tee(null:, bogus:x)'           '                     ^~~~~~'        "no stage 'bogus:'"
usage 'file:in | tee(null:, file:x,bogus=3)'    '                            ^~~~~~~' "no option 'bogus'"
usage 'file:in | tee(null: x, null:)'           '                    ^'              'no further words'
usage 'file:in | tee(- | cat, null:)'           '              ^'                    'first stage or output as the last'
usage "file:in | tee(null:, cat 'x)"            '                         ^'         'quote is never closed'
for text in 'file:in | tee(cat, cat)' 'file:in | tee(-, cat)' 'file:in | tee(cat, -)' 'file:in | tee(tee(null:, cat), wc -c)'; do
        usage "$text" '' 'second branch ends at standard output'
        marks=$(sed -n 3p "$ERR") stages=${text%%)*}
        [ ${#marks} -gt $((${#stages} - 3)) ] || fail "the marks of '$text' are before its last stage: $(cat "$ERR")"
done
[ ! -e x ] || [ "$(cat x)" = "$(cat table)" ] || fail 'a usage error touched a file'

# ---- statuses: one that fails is the run's, and the others have everything ----
expect_status 1 "$SLUICE" run 'file:in | tee(file:/dev/full, cat | file:a, file:b)'
expect_stderr 1 '^sluice: file:/dev/full: .*No space left'
expect_same in a
expect_same in b
expect_status 3 "$SLUICE" run "file:in | tee(sh -c 'cat >/dev/null; exit 3' | null:, file:a)"
rm a
expect_same in "$T/b"
expect_status 3 "$SLUICE" run "file:in | tee(file:a, sh -c 'exit 3' | null:)"
expect_same in a
expect_status 127 "$SLUICE" run 'file:in | tee(file:never, no-such-command-here | null:)'
[ ! -e never ] || fail 'a run that never began made a file'
expect_status 1 "$SLUICE" run 'file:in | tee(file:a, file:/no/such/folder/x)'
expect_status 1 "$SLUICE" run 'yes | tee-strict(file:/dev/full, null:, cat | null:)'
expect_stderr 1 'No space left'
expect_status 1 "$SLUICE" run 'generate: | tee(file:/dev/full, cat | file:/dev/full)'
expect_status 124 "$SLUICE" run --timeout=100ms 'yes | tee(null:, cat | null:, sleep 1000 | null:)'

# ---- whoever has enough ----
expect_status 0 "$SLUICE" run 'file:in | tee(head -c 5, file:a)'
expect_same in a
[ "$(cat "$OUT")" = "$(head -c 5 in)" ] || fail "head -c 5 gave $(head -c 50 "$OUT")"
for source in yes generate: zero:; do
        expect_status 0 "$SLUICE" run "$source | tee(head -c 5 | null:, tee(head -c 100000 | null:, true | null:))"
        expect_stderr 0 ''
done

# ---- all branches go away while the source is silent: it is not waited for ----
mkfifo silent
exec 9<>silent
for driver in inline ring; do
        expect_status 0 "$SLUICE" run --driver="$driver" 'fd:9 | tee(true | null:, head -c 0 | null:)'
        expect_stderr 0 ''
done
exec 9>&-

# ---- a sandbox that forbids tee(2): it is said, and not tried for ever ----
if "$REFUSE_RING" --tee true; then
        for driver in inline ring; do
                expect_status 1 "$REFUSE_RING" --tee "$SLUICE" run --driver="$driver" 'file:in | tee(file:a, cat | null:)'
                expect_stderr 1 'tee: tee\(2\) is forbidden here; behind a function'
        done
        expect_status 0 "$REFUSE_RING" --tee "$SLUICE" run 'file:in | count: | tee(file:a, cat | file:b)'
        expect_same in a
        expect_same in b
fi

# ---- explain, -v, --json ----
graph='file:in | tee(cat | file:a, gzip -c | file:b.gz, tee(count: | null:, file:c))'
expect_status 0 "$SLUICE" explain "$graph"
for link in 'file:in -> tee' 'tee -> cat' 'cat -> file:a' 'tee -> gzip' 'gzip -> file:b.gz' 'tee -> tee' 'tee -> count' \
        'count -> null' 'tee -> file:c'; do
        [ "$(grep -c "^$link  " "$OUT")" = 1 ] || fail "explain has no line '$link': $(cat "$OUT")"
done
[ "$(sed -n '/^LINK/,$p' "$OUT" | grep -c '')" = 10 ] || fail "explain says more or less than nine links: $(cat "$OUT")"
grep -qx '  tee#1 --direct--> gzip --direct--> file:b.gz' "$OUT" || fail "the graph is not drawn: $(cat "$OUT")"
[ ! -e c ] || [ -s c ] || fail 'explain opened a file'
expect_status 0 "$SLUICE" run -v "$graph"
for stage in file:in cat file:a gzip file:b.gz count null file:c; do
        [ "$(grep -cE "^$stage +ok " "$ERR")" = 1 ] || fail "-v has no line of $stage: $(cat "$ERR")"
done
[ "$(grep -cE '^tee +ok ' "$ERR")" = 2 ] || fail "-v has not both tees: $(cat "$ERR")"
[ "$(grep -c -- ' -> ' "$ERR")" -ge 9 ] || fail "-v has not every link: $(cat "$ERR")"
if command -v jq >/dev/null; then
        expect_status 0 "$SLUICE" run --json "$graph"
        jq -e '(.stages | length) == 10 and (.links | length) == 9 and ([.stages[] | select(.name == "tee")] | length) == 2' <"$OUT" \
                >/dev/null || fail "--json: $(cat "$OUT")"
fi
true
