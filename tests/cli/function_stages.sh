# Promises: functions in a pipeline pass on exactly what they should, and say at the end what they found: on stderr for
# people, in .stages[].reports with --json, never both. What they cannot take is a usage error with marks; a line that is too
# long is the failure of lines:, which names it.
. "$(dirname "$0")/lib.sh"

make_bytes 3000000 big
lines=$(wc -l <big)
[ "$(tail -c 1 big | od -An -c | tr -d ' ')" = '\n' ] || lines=$((lines + 1)) # the last one counts
sum=$(sha256sum <big | cut -d' ' -f1)

# usage PIPELINE MARKS REGEX: refused, with MARKS under the text.
usage()
{
        expect_status 2 "$SLUICE" run "$1"
        expect_stderr 3 "$3"
        [ "$(sed -n 2p "$ERR")" = "  $1" ] || fail "the text of '$1' is not repeated: $(cat "$ERR")"
        [ "$(sed -n 3p "$ERR")" = "  $2" ] || fail "the marks of '$1' are wrong: $(cat "$ERR")"
        [ ! -s "$OUT" ] || fail "a usage error of '$1' wrote to stdout"
}

# said LINE: the last command said it on stderr, once.
said()
{
        [ "$(grep -cxF -- "$1" "$ERR")" = 1 ] || fail "'$1' was not said once: $(cat "$ERR")"
}

# ---- reports ----
expect_status 0 "$SLUICE" run 'file:big | lines: | count: | checksum:sha256 | file:copy'
expect_same big copy
expect_stderr 3 '^count: bytes 3000000$'
said 'count: bytes 3000000'
said "count: lines $lines"
said "checksum: sha256 $sum"
[ ! -s "$OUT" ] || fail "reports on stdout: $(cat "$OUT")"

# They do not mix with the bytes of the pipeline.
expect_status 0 "$SLUICE" run 'file:big | count: | -'
expect_same big "$OUT"
expect_stderr 2 '^count: bytes 3000000$'

# Two of a kind each have their own, and a checksum is xxh3 unless it is told otherwise.
printf 'one\ntwo' >small
expect_status 0 "$SLUICE" run 'file:small | count: | cat small - | count: | checksum: | null:'
expect_stderr 5 '^checksum: xxh3 [0-9a-f]{32}$'
said 'count: bytes 7'
said 'count: bytes 14'
expect_status 0 "$SLUICE" run 'null: | count: | checksum:sha256'
said 'count: bytes 0'
said 'count: lines 0'
said 'checksum: sha256 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'

if command -v jq >/dev/null; then
        expect_status 0 "$SLUICE" run --json 'file:big | lines: | count: | checksum:sha256 | file:copy'
        expect_stderr 0 ''
        jq -e --arg lines "$lines" --arg sum "$sum" '[.stages[].reports] ==
                [{}, {}, { bytes: "3000000", lines: $lines }, { sha256: $sum }, {}]' <"$OUT" >/dev/null ||
                fail "the reports of --json: $(cat "$OUT")"
        # Not one that is cut in half.
        expect_status 0 "$SLUICE" run --json 'generate:1k | count: | null:'
        jq -e '.stages[1].reports == { bytes: "1024", lines: .stages[1].reports.lines }' <"$OUT" >/dev/null ||
                fail "the reports of --json: $(cat "$OUT")"
fi

# ---- round trips ----
for level in '' 1 19; do
        expect_status 0 "$SLUICE" run "file:big | compress:$level | file:big.zst"
        expect_status 0 "$SLUICE" run 'file:big.zst | decompress: | file:copy'
        expect_same big copy
        [ "$(stat -c %s big.zst)" -lt 1500000 ] || fail "compress:$level gave $(stat -c %s big.zst) bytes of 3000000"
done
expect_status 0 "$SLUICE" run 'file:big | compress: | decompress: | count: | file:copy'
expect_same big copy
if command -v zstd >/dev/null; then
        expect_status 0 "$SLUICE" run 'zstd -qc big | decompress: | file:copy'
        expect_same big copy
        expect_status 0 "$SLUICE" run 'file:big | compress: | zstd -qdc | file:copy'
        expect_same big copy
fi
# What is cut leaves the old file, and says what it was.
echo old >kept
head -c 1000 big.zst >cut.zst
expect_status 1 "$SLUICE" run 'file:cut.zst | decompress: | file:kept,atomic'
expect_stderr 1 '^sluice: decompress: the input ends in the middle of a frame$'
expect_status 1 "$SLUICE" run 'file:big | decompress: | file:kept,atomic'
expect_stderr 1 '^sluice: decompress: .'
[ "$(cat kept)" = old ] || fail 'a failed decompress: replaced its atomic file'

expect_status 0 "$SLUICE" run 'generate:100k | file:one'
expect_status 0 "$SLUICE" run 'generate:100k | throttle:10G | file:two'
expect_same one two
[ "$(stat -c %s one)" = 102400 ] || fail "generate:100k made $(stat -c %s one) bytes"
expect_status 0 "$SLUICE" run 'generate:50k | file:two'
cmp -s -n 51200 one two || fail 'generate: says something else the second time'

# ---- lines ----
{
        seq 1 41
        head -c 101 /dev/zero | tr '\0' x
        printf '\nlast'
} >long
expect_status 1 "$SLUICE" run -- '- | lines:,max=100 | -' <long
expect_stderr 1 '^sluice: lines: line 42 is longer than 100 bytes'
expect_status 0 "$SLUICE" run -- '- | lines:,max=101 | -' <long
expect_same long "$OUT"
expect_status 1 "$SLUICE" run 'cat long | lines:,max=100 | cat | null:'
expect_stderr 1 '^sluice: lines: line 42 is longer than 100 bytes'

# ---- whoever has enough ends them ----
expect_status 0 "$SLUICE" run 'generate: | count: | head -c 1 | null:'
expect_status 0 "$SLUICE" run 'generate: | throttle:1 | head -c 1 | null:'
expect_status 0 "$SLUICE" run 'yes | lines: | head -n 3 | -'
[ "$(cat "$OUT")" = "$(yes | head -n 3)" ] || fail "yes | lines: | head -n 3 gave $(head -c 100 "$OUT")"
expect_status 124 "$SLUICE" run --timeout=100ms 'zero: | throttle:1 | null:'
expect_stderr 1 'deadline of 100 ms'

# ---- explain ----
expect_status 0 "$SLUICE" explain 'file:big | lines: | count: | checksum: | file:copy'
[ "$(grep -c '^\(lines -> count\|count -> checksum\) *handover ' "$OUT")" = 2 ] || fail "no two handovers: $(cat "$OUT")"
[ "$(grep -c 'handover' "$OUT")" = 2 ] || fail "handovers where there are none: $(cat "$OUT")"
expect_status 0 "$SLUICE" explain 'file:big | compress: | decompress: | null:'
grep -q '^compress -> decompress *handover ' "$OUT" || fail "no handover: $(cat "$OUT")"

# ---- usage, marked ----
usage 'file:big | compress:99 | -'       '                    ^~'         "1 to 19, not '99'"
usage 'file:big | compress:0 | -'        '                    ^'          "1 to 19, not '0'"
usage 'file:big | compress:fast | -'     '                    ^~~~'       "1 to 19, not 'fast'"
usage 'file:big | compress:,fast | -'    '                     ^~~~'      "no option 'fast'"
usage 'file:big | decompress:3 | -'      '                      ^'        'no argument'
usage 'file:big | throttle:fast | -'     '                    ^~~~'       "bytes a second.*'fast'"
usage 'file:big | throttle:0 | -'        '                    ^'          "bytes a second.*'0'"
usage 'file:big | throttle: | -'         '                    ^'          'bytes a second'
usage 'file:big | checksum:md5 | -'      '                    ^~~'        "xxh3, sha256.*'md5'"
usage 'file:big | count:x | -'           '                 ^'             'no argument'
usage 'file:big | lines:x | -'           '                 ^'             'no argument'
usage 'file:big | lines:,max=1G | -'     '                  ^~~~~~'       '128k at most'
usage 'file:big | lines:,max=x | -'      '                  ^~~~~'        "max=.*'x'"
usage 'file:big | lines:,min=1 | -'      '                  ^~~~~'        "no option 'min'"
usage 'generate:many | -'                '         ^~~~'                  "bytes.*'many'"
usage 'file:big | generate:5 | -'        '           ^~~~~~~~~~'          'source'
usage 'compress: | -'                    '^~~~~~~~~'                      'between two stages'
usage 'file:big | compress:'             '           ^~~~~~~~~'           'between two stages'
usage 'file:big | decompress:'           '           ^~~~~~~~~~~'         'between two stages'
# What has no input is never called: it would be given none.
for stage in lines: count: checksum: throttle:1k drop:; do
        usage "$stage | -" "^$(printf '%*s' $((${#stage} - 1)) '' | tr ' ' '~')" 'has no input'
done
usage 'merge(seq 3, count:) | -'         '             ^~~~~~'            'has no input'
true
