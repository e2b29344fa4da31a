# Promises: what explain says before is what the run does, and its counters prove it: direct and pipe move nothing
# through the engine, splice copies nothing, cross splices nothing.
. "$(dirname "$0")/lib.sh"
command -v jq >/dev/null || skip 'no jq'

BYTES=300000
make_bytes $BYTES in

# What was said before, after and by -v, one JSON object a line, judged at the end.
ALL=$ROOT/all
: >"$ALL"

# note WHAT EXPLAINED REPORT VERBOSE
note()
{
        printf '{"what":"%s","before":%s,"after":%s,"verbose":"%s"}\n' "$1" "$2" "$3" "$4" >>"$ALL"
}

# agree PIPELINE [OPTION...]: its stdin is what this function's is.
agree()
{
        local pipeline=$1 before=null report verbose

        shift
        # A driver that was asked for may change the mode: explain does not know of it.
        if [ $# = 0 ] && ! before=$("$SLUICE" explain --json "$pipeline" 2>"$ERR"); then
                fail "explain '$pipeline': $(cat "$ERR")"
                return
        fi
        if ! limited "$SLUICE" run --json -v "$@" "$pipeline" >"$OUT" 2>"$ERR"; then
                fail "'$pipeline' $*: $(cat "$ERR")"
                return
        fi
        report=$(grep -ha '^{"exit_status"' "$OUT" "$ERR")
        verbose=$(sed -n 's/^.* -> .*  \(direct\|pipe\|splice\|cross\) .*/\1/p' "$ERR")
        note "$pipeline $*" "$before" "$report" "${verbose//$'\n'/ }"
}

# reported WHAT: what the listener reported.
reported()
{
        note "$1" null "$(cat "$ROOT/listener.out")" ''
}

judge()
{
        jq -r '
        def quiet: .operations.splice + .operations.read + .operations.write + .operations.send + .operations.recv == 0 and
                .bytes_spliced == 0 and .bytes_copied == 0;
        def honest:
                if .mode == "direct" then quiet and .bytes_piped == 0
                elif .mode == "pipe" then quiet and .bytes_direct == 0
                elif .mode == "splice" then .bytes_copied == 0 and .bytes_direct == 0 and .bytes_piped == 0 and
                        .bytes_spliced == .bytes and (.bytes == 0 or .operations.splice > 0) and
                        .operations.write + .operations.send == 0
                elif .mode == "cross" then .bytes_spliced == 0 and .bytes_direct == 0 and .bytes_piped == 0 and
                        .bytes_copied == .bytes and .operations.splice == 0
                else false end;
        def shape: [.links[] | [.from, .to, .mode]];
        .what as $what |
        (.after.links[] | select(honest | not) | "\($what): \(.mode), but: \(tojson)"),
        (select(.after.bytes_copied != ([.after.links[].bytes_copied] | add)) | "\($what): the sum of bytes copied is wrong"),
        (select(.before and (.before | shape) != (.after | shape)) | "\($what): explained \(.before | shape), done \(.after | shape)"),
        (select(.verbose != "" and .verbose != ([.after.links[].mode] | join(" "))) | "\($what): -v says \(.verbose)")
        ' "$ALL" || echo 'a report is no JSON'
}

middles=('' 'cat | ' 'cat | cat | ')
drivers='inline ring copy' least=400
[ "$SHORT" ] && middles=('' 'cat | ') drivers=ring least=300
exec 8<>"$T/eight"
for source in 'file:in' 'file:in,snapshot' 'file:in,offset=4096' 'null:' 'zero:300000' '-' 'cat in' 'fd:7'; do
        for sink in 'file:out' 'file:out,observe' 'file:out,atomic' 'append:out' 'null:' '-' 'cat' "sh -c 'cat >/dev/null'" 'fd:8'; do
                for middle in "${middles[@]}"; do
                        agree "$source | $middle$sink" <in 7<in
                done
                for driver in $drivers; do
                        agree "$source | $sink" --driver=$driver <in 7<in
                done
        done
        rm -f out
        for driver in '' --driver=inline --driver=ring --driver=copy; do
                start_listener 'tcp-listen:127.0.0.1:PORT | file:out' ${driver:+$driver} --json || continue
                agree "$source | tcp:127.0.0.1:$PORT" ${driver:+$driver} <in 7<in
                end_listener
                reported "tcp-listen | file $driver"
                start_unix_listener "$T/socket" "unix-listen:$T/socket | file:out" ${driver:+$driver} --json
                agree "$source | unix:$T/socket" ${driver:+$driver} <in 7<in
                end_listener
                reported "unix-listen | file $driver"
        done
done
start_listener 'tcp-listen:127.0.0.1:PORT | cat | file:out' --json
agree "file:in | cat | tcp:127.0.0.1:$PORT"
end_listener
reported "tcp-listen | cat | file"
expect_same in out

while read -r line; do
        fail "$line"
done < <(judge)
[ "$(wc -l <"$ALL")" -gt $least ] || fail "only $(wc -l <"$ALL") runs were judged"

# --forbid-copy refuses what would copy, before it does anything, and lets pass what does not.
rm -f out
expect_status 2 "$SLUICE" run --forbid-copy 'file:in,snapshot | file:out'
[ ! -e out ] || fail '--forbid-copy: refused, but the sink was made'
expect_status 0 "$SLUICE" run --forbid-copy 'file:in | file:out'
expect_same in out
