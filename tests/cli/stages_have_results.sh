#!/usr/bin/env bash
# stages_have_results.sh: every stage's own end is kept and shown (-v, --json), and options of `sluice run` say which of them
# count (--pipefail, --fail-fast), how much memory they may have, and where and with what environment and stderr they run.
. "$(dirname "$0")/lib.sh"

# script NAME: an executable file from stdin.
script()
{
        {
                echo '#!/bin/sh'
                cat
        } >"$1"
        chmod +x "$1"
}

script exits7 <<'SH'
exit 7
SH
script exits3 <<'SH'
exit 3
SH
printf 'two\none\n' >in
# Holds 150 MiB in a descendant and stays.
script glutton <<'SH'
head -c 200M /dev/zero | tail -c 150M | sleep 1000
SH
script grumble <<'SH'
echo grumble >&2
exit ${1-0}
SH
script show <<'SH'
echo "${A-unset},${B-unset}"
SH

# ---- --pipefail ----
expect_status 0 "$SLUICE" run 'yes | head -1 | null:'
expect_stderr 0 ''
expect_status 141 "$SLUICE" run --pipefail 'yes | head -1 | null:'
expect_stderr 1 '^sluice: yes: .*SIGPIPE'
expect_status 141 "$SLUICE" run --pipefail 'yes | cat | head -1 | null:'
expect_stderr 1 '^sluice: (yes|cat): .*SIGPIPE'
expect_status 0 "$SLUICE" run --pipefail 'seq 10 | cat | null:'
expect_stderr 0 ''
# A failure of its own is one either way.
for option in -v --pipefail; do
        expect_status 7 "$SLUICE" run $option './exits7 | cat | null:'
done

# ---- --fail-fast ----
expect_status 3 "$SLUICE" run --fail-fast --grace=50ms 'sleep 1000 | ./exits3'
expect_stderr 1 '^sluice: ./exits3: exit status 3'
expect_status 7 "$SLUICE" run --fail-fast --grace=50ms './exits7 | sh -c "sleep 1000" | null:'
# Without it everybody comes to his own end.
expect_status 124 "$SLUICE" run --timeout=300ms --grace=50ms 'sleep 1000 | ./exits3'
no_processes || fail 'a deadline leaves processes'

# ---- --grace: an upper bound is all that can be said of it ----
expect_status 124 "$SLUICE" run --grace=50ms --timeout=100ms "sh -c 'trap \"\" TERM; while :; do sleep 1000; done'"

# ---- --max-memory ----
for limit in 1:64M ./glutton:64M; do
        expect_status 125 "$SLUICE" run --max-memory="$limit" --grace=50ms './glutton | null:'
        expect_stderr 1 '^sluice: ./glutton: .*memory'
        no_processes || fail "--max-memory=$limit leaves processes"
done
expect_status 125 "$SLUICE" run --max-memory=2:64M --grace=50ms 'null: | ./glutton | null:'
expect_stderr 1 '^sluice: ./glutton: .*memory'
expect_status 0 "$SLUICE" run --max-memory=cat:1G 'seq 10 | cat | null:'
expect_status 0 "$SLUICE" run --max-memory=1:1G --max-memory=2:1G 'seq 10 | cat | null:'
for limit in 9:1M 0:1M nobody:1M 64M 1:lots 1:; do
        expect_status 2 "$SLUICE" run --max-memory="$limit" 'cat | null:'
        head -n 1 "$ERR" | grep -q '^sluice: ' || fail "--max-memory=$limit: $(cat "$ERR")"
done

# ---- --env ----
unset A
# shown WANTED OPTION...: what a command sees of A and B.
shown()
{
        local wanted=$1

        shift
        expect_status 0 env B=outer "$SLUICE" run "$@" './show | -'
        [ "$(cat "$OUT")" = "$wanted" ] || fail "$*: $(cat "$OUT"), not $wanted"
}
shown unset,outer
shown hello,outer --env=A=hello
shown last,outer --env=A=first --env=A=last
shown b=c,outer --env=A=b=c
shown ,outer --env=A=
shown unset,unset --env=B
shown x,unset --env=A=x --env=B=y --env=B
expect_status 2 "$SLUICE" run --env==x 'cat | null:'
expect_stderr 2 '^sluice: .*--env'

# ---- --chdir ----
mkdir sub
cp show sub/only-here
expect_status 0 "$SLUICE" run --chdir=sub 'pwd | -'
[ "$(cat "$OUT")" = "$(cd sub && pwd -P)" ] || fail "--chdir: $(cat "$OUT")"
expect_status 0 "$SLUICE" run --chdir="$T/sub" --env=A=there './only-here | -'
[ "$(cut -d, -f1 "$OUT")" = there ] || fail "--chdir and a relative command: $(cat "$OUT")"

# ---- --stderr ----
for option in --stderr=forward --stderr=inherit; do
        expect_status 0 "$SLUICE" run $option './grumble | null:'
        expect_stderr 1 '^grumble$'
done
expect_status 0 "$SLUICE" run --stderr=null './grumble | null:'
expect_stderr 0 ''
expect_status 4 "$SLUICE" run --stderr=null './grumble 4 | null:'
expect_stderr 1 '^sluice: ./grumble: exit status 4'
expect_status 0 "$SLUICE" run --stderr=log './grumble | null:'
expect_stderr 0 ''
[ "$(cat log)" = grumble ] || fail "--stderr=FILE: $(cat log)"

# ---- --no-guard, --contain ----
expect_status 7 "$SLUICE" run --no-guard './exits7 | null:'
for contain in auto walk none; do
        expect_status 7 "$SLUICE" run --contain=$contain './exits7 | null:'
done
expect_status 2 "$SLUICE" run --contain=jail 'cat | null:'
expect_stderr 2 "'jail'"
expect_status 2 "$SLUICE" run --grace=soon 'cat | null:'
expect_stderr 2 "duration.*'soon'"
for option in --pipefail --fail-fast --grace --max-memory --env --chdir --stderr --no-guard --contain; do
        "$SLUICE" run --help | grep -q -- "$option" || fail "run --help does not speak of $option"
done

# ---- -v: a table, a line a stage ----
# rows: the lines of the table of stages, its head first.
rows()
{
        awk '/^STAGE +RESULT +STATUS +CPU/ { on = 1 } on && (/^$/ || /^LINK /) { exit } on' "$ERR"
}

# one_row STAGE...: each has one line in it.
one_row()
{
        local stage

        rows | grep -q . || fail "no table of stages: $(cat "$ERR")"
        for stage; do
                [ "$(rows | grep -c "^ *[0-9]* *$stage ")" = 1 ] || fail "not one line of $stage: $(cat "$ERR")"
        done
}

expect_status 0 "$SLUICE" run -v 'file:in | cat | sort | null:'
one_row file:in cat sort null
[ "$(rows | grep -c '')" = 5 ] || fail "a table of four stages: $(cat "$ERR")"
expect_status 7 "$SLUICE" run -v './exits7 | cat | null:'
one_row ./exits7 cat null
rows | grep -qE '\./exits7 .*exit.* 7' || fail "-v does not say how ./exits7 ended: $(cat "$ERR")"
expect_status 143 "$SLUICE" run -v "sh -c 'kill -TERM \$\$' | null:"
rows | grep -qE 'sh .*SIGTERM' || fail "-v does not say what ended sh: $(cat "$ERR")"
expect_status 0 "$SLUICE" run -v 'yes | head -1 | null:'
one_row yes head null

# ---- --json: stages ----
command -v jq >/dev/null || skip 'the rest: no jq'
# json FILTER: the last line of the report is an object of which FILTER is true; s("NAME") is the stage of that name.
json()
{
        tail -n 1 "$OUT" | jq -e "def s(\$name): .stages[] | select(.name == \$name); $1" >/dev/null ||
                fail "not so: $1: $(tail -n 1 "$OUT")"
}
shape='.stages | type == "array" and all((keys | contains(["name","verdict","exit_status","signal","errno"])) and
        (.name | type == "string") and (.verdict | type == "string") and
        (.exit_status | type == "number" or . == null) and (.signal | type == "number" or . == null))'

# whole STATUS PIPELINE FILTER [OPTION...]
whole()
{
        local status=$1 pipeline=$2 filter=$3

        shift 3
        expect_status "$status" "$SLUICE" run --json "$@" "$pipeline"
        json "$shape"
        json "$filter"
}

whole 0 'file:in | cat | sort | null:' '[.stages[].name] == ["file:in","cat","sort","null"] and all(.stages[]; .verdict == "ok" and
        .signal == null) and (s("cat") | .exit_status == 0) and (s("sort") | .exit_status == 0)'
whole 7 './exits7 | cat | null:' '(s("./exits7") | .exit_status == 7 and .verdict == "failed") and (s("cat") | .verdict == "ok")'
whole 143 "sh -c 'kill -TERM \$\$' | null:" 's("sh") | .signal == 15 and .exit_status == null and .verdict == "failed"'
whole 0 'yes | head -1 | null:' '(s("yes") | .signal == 13) and (s("head") | .exit_status == 0 and .verdict != "failed")'
whole 141 'yes | head -1 | null:' 's("yes") | .signal == 13' --pipefail
whole 3 'sleep 1000 | ./exits3 | null:' '(s("sleep") | .verdict == "ended") and (s("./exits3") | .verdict == "failed")' \
        --fail-fast --grace=50ms
whole 124 'sleep 1000 | null:' 's("sleep") | .verdict == "ended"' --timeout=100ms
# Nothing started: of a stage that never ran nothing is known.
whole 127 'seq 10 | no-such-command-here | null:' '(s("seq") | .exit_status == null) and (s("no-such-command-here") | .verdict != "ok")'
true
