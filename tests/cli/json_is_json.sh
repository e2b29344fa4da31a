# Promises: --json is one JSON object, whatever happened: on stdout, or on stderr when the pipeline writes stdout; null
# where a number is not known; names that are no UTF-8 do not break it.
. "$(dirname "$0")/lib.sh"
command -v jq >/dev/null || skip 'no jq'

make_bytes 300000 in

# json FILE FILTER: the last line of FILE is an object of which FILTER is true.
json()
{
        tail -n 1 "$1" | jq -e "$2" >/dev/null || fail "not so: $2: $(tail -n 1 "$1")"
}

shape='(keys | contains(["bytes","seconds","cpu_seconds","bytes_copied","links","failures","exit_status","error"])) and
        (.seconds | type == "number" and . > 0) and
        (.cpu_seconds | (.self | type == "number") and (.children | type == "number")) and
        (.bytes_copied | type == "number") and
        (.pool | (keys == ["frees_local","frees_remote","lent_peak_bytes","total_bytes","unbound"]) and all(type == "number") and
                .lent_peak_bytes <= .total_bytes) and
        (.links | type == "array" and all(
                (.mode | IN("none","direct","pipe","handover","splice","cross","tee")) and
                (.from | type == "string") and (.to | type == "string") and (.why | type == "string") and
                (.bytes | type == "number" or . == null) and
                (.operations | type == "object" and all(type == "number"))))'

# whole STATUS PIPELINE FILTER [OPTION...]: run with --json, its report on stdout, alone there and in one line.
whole()
{
        local status=$1 pipeline=$2 filter=$3

        shift 3
        expect_status "$status" "$SLUICE" run --json "$@" "$pipeline"
        [ "$(grep -c '' "$OUT")" = 1 ] || fail "'$pipeline': $(grep -c '' "$OUT") lines of report"
        json "$OUT" "$shape"
        json "$OUT" ".exit_status == $status"
        json "$OUT" "$filter"
}

whole 0 'file:in | file:out' '.bytes == 300000 and .error == null and .failures == [] and (.links | length) == 1 and .bytes_copied == 0'
whole 0 'file:in | file:out' '.bytes == 300000 and .bytes_copied == 300000 and .links[0].mode == "cross" and .links[0].bytes_copied == 300000 and
        .pool.lent_peak_bytes == 262144 and .pool.frees_local == 1 and .pool.frees_remote == 0' --no-splice
whole 0 'file:in | file:out' '.pool.total_bytes == 0' --driver=inline
whole 0 'file:in | cat | file:out' '.bytes == 300000 and (.links | length) == 2'
whole 0 'file:in | cat | cat | null:' '(.links | length) == 3 and .links[1].mode == "pipe" and .links[1].bytes == null'
whole 0 'sh -c "exit 0" | null:' 'true'
whole 0 "sh -c 'i=0; while [ \$i -lt 20000 ]; do i=\$((i+1)); done' | null:" '.cpu_seconds.children > 0'
whole 1 'file:missing | file:out1' '(.error | contains("missing")) and (.failures | length) == 1 and
        (.failures[0] | .stage == 0 and .operation == "open" and .errno == 2 and .exit_status == null and .signal == null)'
whole 6 "sh -c 'echo sorrow >&2; exit 6' | null:" '.failures[0].exit_status == 6 and (.failures[0].stderr | contains("sorrow"))'
whole 143 "sh -c 'kill -TERM \$\$' | null:" '.failures[0].signal == 15'
whole 127 'no-such-command-here | null:' '.error | contains("command not found")'
whole 124 'sleep 50 | null:' '.error | contains("deadline")' --timeout=50ms

# On stderr: the bytes have stdout for themselves. A command at the end writes stdout, too.
for pipeline in 'file:in | -' 'file:in | cat' 'cat in' 'cat in | cat | -'; do
        expect_status 0 "$SLUICE" run --json "$pipeline"
        expect_same in "$OUT"
        [ "$(grep -c '' "$ERR")" = 1 ] || fail "stderr: $(cat "$ERR")"
        json "$ERR" "$shape"
done

# Names that are not UTF-8, and ones that JSON must escape.
for name in "$(printf 'a\377b')" 'quote"back\slash' "$(printf 'tab\there')" 'grüße'; do
        cp in "$name"
        expect_status 0 "$SLUICE" run --json "file:'$name' | null:"
        json "$OUT" "$shape"
        json "$OUT" '.bytes == 300000'
        expect_status 1 "$SLUICE" run --json "file:'$name/missing' | null:"
        json "$OUT" "$shape"
done
expect_status 0 "$SLUICE" run --json 'file:"grüße" | null:'
json "$OUT" '.links[0].from == "file:grüße"'
whole 2 "sh -c 'printf \"\\377\\n\" >&2; exit 2' | null:" '.failures[0].stderr | type == "string"'

# The other subcommands.
expect_status 0 "$SLUICE" explain --json 'file:in | cat | null:'
json "$OUT" '(.links | length) == 2 and all(.links[]; .from and .to and .mode and .why)'
limited "$SLUICE" doctor --json >"$OUT" 2>"$ERR"
json "$OUT" '(.amiss | type == "boolean") and (.findings | length > 5) and
        all(.findings[]; .subject and (.health | IN("ok","note","AMISS")) and (.value | type == "string") and (.cure | type == "string")) and
        (.amiss == any(.findings[]; .health == "AMISS")) and all(.findings[]; .health != "AMISS" or .cure != "")'
# A report that cannot be written is not passed over.
"$SLUICE" run --json 'file:in | null:' >/dev/full 2>/dev/null && fail 'a report lost on a full device: status 0'
true
