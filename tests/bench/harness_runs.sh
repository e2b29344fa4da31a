# Promises: the harness measures what is right, never counts a wrong output, says who failed, and leaves nothing behind, also
# when it is interrupted. It needs neither network nor peers.
. "$(dirname "$0")/../cli/lib.sh"
[ -z "$SANITIZE" ] || skip 'the harness is not built with sanitizers'
[ -x "$BUILD/bin/sluice-bench-launch" ] || skip 'no sluice-bench-launch: the benches are not built'
mkdir memory
export BENCH_MEMORY=$T/memory PYTHONPATH=$SOURCE/bench
bench()
{
        python3 -B -m harness --cases="$SOURCE/tests/bench/cases" --build="$BUILD" --output="$T/out" --no-pieces "$@"
}
bench_ends()
{
        local want=$1

        shift
        bench "$@" >"$OUT" 2>"$ERR"
        STATUS=$?
        [ "$STATUS" = "$want" ] || fail "bench $*: exit status $STATUS, not $want: $(head -c 600 "$ERR")"
}
says()
{
        grep -qE -- "$1" "$OUT" || fail "no /$1/ in: $(head -c 3000 "$OUT")"
}
# of REPORT: a Python expression over it, as r.
of()
{
        python3 -c 'import json, sys; r = json.load(open(sys.argv[1])); c = r["cases"][0]; s = {x["name"]: x for x in c["subjects"]}; print(eval(sys.argv[2]))' \
                "$1" "$2"
}
is()
{
        local got

        got=$(of "$T/out/report.json" "$1")
        [ "$got" = "$2" ] || fail "$1 is $got, not $2"
}

bench_ends 0 --only=right --pairs=6
says '^== right: a file to a file'
says 'holds +goal >= 1: sluice to cat'
says 'MISSES +goal >= 2: sluice to cat'
says 'nobody +missing: there-is-no-such-program'
is 'sorted(n for n, x in s.items() if len([y for y in x["samples"] if y]) == 6)' \
        "['cat', 'nothing', 'served', 'sluice', 'sluice again', 'sluice copy', 'sluice inline', 'sluice ring']"
is 's["served"]["samples"][0]["bytes"]' 100000
is 'all(y["cpu_s"] > 0 and y["wall_s"] > 0 for x in s.values() for y in x["samples"])' True
is 'sorted(k for k in s["served"]["samples"][0] if "." in k)' \
        "['cpu_s.receive', 'cpu_s.send', 'cpu_s_per_gib.receive', 'cpu_s_per_gib.send', 'peak_rss_kib.receive', 'peak_rss_kib.send']"
is 's["sluice copy"]["parts"][0]["command"].split()[2]' --driver=copy
is 's["cat"]["system_calls"] is None or s["cat"]["system_calls"] > 5' True
[ -s "$T/out/report.html" ] || fail 'no report.html'
cp "$T/out/report.json" old.json

bench_ends 0 --from=old.json --compare=old.json
says 'nothing changed beyond noise'
bench_ends 0 --from=old.json --json
cmp -s "$OUT" old.json || fail '--from --json is not what was recorded'
# The same, but it was ten times as fast once.
python3 - <<'PY'
import json
r = json.load(open('old.json'))
for c in r['cases']:
    for s in c['subjects']:
        for i, y in enumerate(s['samples']):
            y['gib_per_s'] = (1 + i / 1000) * (100 if s['kind'] in ('sluice', 'again') else 1)
            y['cpu_s_per_gib'] = 1 + i / 1000
json.dump(r, open('fast.json', 'w'))
for c in r['cases']:
    for s in c['subjects']:
        for i, y in enumerate(s['samples']):
            y['gib_per_s'] = 1 + i / 1000
json.dump(r, open('slow.json', 'w'))
PY
bench_ends 3 --from=slow.json --compare=fast.json
says 'WORSE +right: sluice: GiB/s'

bench_ends 1 --only=wrong --pairs=2 --no-untimed
grep -q 'wrong: short: wrong output' "$ERR" || fail "not said: $(cat "$ERR")"
is 's["short"]["samples"]' '[]'
bench_ends 1 --only=order --pairs=2 --no-untimed
grep -q 'order: turned: wrong output: .* not those that were sent' "$ERR" || fail "not said: $(cat "$ERR")"
bench_ends 1 --only=fails --pairs=2 --no-untimed
grep -q 'fails: failing: main ended with 3' "$ERR" || fail "not said: $(cat "$ERR")"
is 'all(y["wall_s"] >= 0.2 for y in s["forking"]["samples"])' True

bench_ends 2 --only=nosuch
bench_ends 2 --nosuch
bench_ends 2 --from=nosuch.json
bench_ends 0 --list
says '^right '

# Interrupted in the middle of a run: as if nothing had been.
mkdir slow
cat >slow/slow.py <<'PY'
from harness.case import Case, Part, Subject
CASES = [Case(name='slow', title='slow', subjects=[Subject('sluice', Part('touch @disk@/../begun; sleep 1000'))])]
PY
(
        exec python3 -B -m harness --cases="$T/slow" --build="$BUILD" --output="$T/out" --pairs=1 >"$OUT" 2>"$ERR"
) &
until_true eval 'ls "$T"/out/work.*/begun >/dev/null 2>&1' || fail 'it does not begin'
kill -TERM "$!"
wait "$!"
[ "$?" = 143 ] || fail 'interrupted it does not end by SIGTERM'
until_true no_processes || fail 'processes are left'
[ -z "$(ls memory; ls -d out/work.* 2>/dev/null)" ] || fail "left: $(ls -d memory/* out/work.*)"
