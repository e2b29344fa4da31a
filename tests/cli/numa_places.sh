# Promises: --numa=NODE binds sluice and its commands to that node, and a node that cannot be had is a usage error; auto and
# off move no thread. On this machine, whatever it has, and on one of two nodes with a CPU each that hwloc is told of
# (HWLOC_SYNTHETIC): the CPUs are real, node 1's memory is not, which is counted and is no failure.
. "$(dirname "$0")/lib.sh"
command -v jq >/dev/null || skip 'no jq'
ldconfig -p 2>/dev/null | grep -q 'libhwloc\.so\.15' || skip 'no hwloc'

allowed()
{
        sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' "$1"
}
mine=$(allowed /proc/self/status)
topologies=$SOURCE/tests/unit/topologies
unset HWLOC_SYNTHETIC HWLOC_XMLFILE HWLOC_THISSYSTEM

# refused WORDS OPTION [VARIABLE=VALUE]...
refused()
{
        local words=$1 option=$2

        shift 2
        expect_status 2 env "$@" "$SLUICE" run "$option" 'zero:10 | null:'
        grep -qF -- "$words" "$ERR" || fail "$option: $(cat "$ERR"), not $words"
        expect_status 2 env "$@" "$SLUICE" exec "$option" -- true
}

refused "auto, off or the number of a node, not ''" --numa=
refused "not '-1'" --numa=-1
refused "not '1x'" --numa=1x
refused "not 'AUTO'" --numa=AUTO
refused 'no such node' --numa=900
refused 'no such node' --numa=2 HWLOC_SYNTHETIC='node:2 core:1 pu:1'
refused 'a cpuset keeps this node from this process' --numa=2 "HWLOC_XMLFILE=$topologies/restricted.xml"
refused 'this node has no memory' --numa=1 "HWLOC_XMLFILE=$topologies/no_memory.xml"

make_bytes 3000000 in

# copies OPTION WANT [VARIABLE=VALUE]...: bytes arrive, a command sees the CPUs that it should.
copies()
{
        local option=$1 want=$2

        shift 2
        rm -f out status
        expect_status 0 env "$@" "$SLUICE" run --json "$option" --no-splice 'file:in | cat | file:out'
        expect_same in out
        json=$(tail -n 1 "$OUT")
        expect_status 0 env "$@" "$SLUICE" run "$option" 'cat /proc/self/status | file:status'
        [ "$(allowed status)" = "$want" ] || fail "$* $option: CPUs $(allowed status), not $want"
        expect_status 0 env "$@" "$SLUICE" run --no-guard "$option" 'cat /proc/self/status | file:status'
        [ "$(allowed status)" = "$want" ] || fail "$* $option, no guard: CPUs $(allowed status), not $want"
}

pool()
{
        echo "$json" | jq -e ".pool | $1" >/dev/null || fail "not so: $1: $(echo "$json" | jq -c .pool)"
}

for option in --numa=auto --numa=off; do
        copies $option "$mine"
        pool '.unbound == 0 and .frees_remote == 0 and .frees_local > 0'
done
[ "$(cat /sys/devices/system/node/online 2>/dev/null || echo 0)" = 0 ] || exit 0
copies --numa=0 "$mine"
pool '.unbound == 0'
[ "$mine" = 0-1 ] || exit 0
two='node:2 core:1 pu:1'
copies --numa=auto 0-1 "HWLOC_SYNTHETIC=$two"
copies --numa=0 0 "HWLOC_SYNTHETIC=$two"
pool '.unbound == 0 and .frees_remote == 0'
copies --numa=1 1 "HWLOC_SYNTHETIC=$two"
pool '.unbound > 0 and .total_bytes > 0'
copies --numa=off 0-1 "HWLOC_SYNTHETIC=$two"
pool '.unbound == 0'
# CPUs that are not there: the thread stays, which is counted.
copies --numa=3 0-1 'HWLOC_SYNTHETIC=node:4 core:1 pu:1'
pool '.unbound > 1'
true
