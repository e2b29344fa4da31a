# Promise: a pipeline is begun and ended with few system calls, its guard's among them: what is added here, every start pays.
# Counted by strace, the loader's too, the command's own not. A busy machine adds some (a guard that waits 20 ms for an exec
# looks whether it was stopped; a child that dies while it is looked for is looked for again: up to 68 were seen), so the
# least of several starts counts. The bounds are 5 % above what Debian 12 needs as root, with cgroup v2 and one memory node:
# 185 and 62.
. "$(dirname "$0")/lib.sh"
[ -z "$SANITIZE" ] || skip 'strace of a sanitizer build'
strace=$(command -v strace) && "$strace" -o /dev/null true 2>/dev/null || skip 'no strace'
nodes=$(cat /sys/devices/system/node/online 2>/dev/null)
[ "${nodes:-0}" = 0 ] || skip "memory nodes $nodes: what they are is read at the start"

# calls_of WHO: host is the first process, guard the one that it starts from memory.
calls_of()
{
        awk -v who="$1" '
                NR == 1 { pid["host"] = $1 }
                / resumed>|^[0-9]+ +(---|\+\+\+)/ { next }
                { calls[$1]++ }
                /execve\("\/proc\/self\/fd\// { pid["guard"] = $1 }
                END { print who in pid ? calls[pid[who]] : 0 }' "$ROOT/trace"
}

# least CALLS LEAST
least()
{
        [ "$1" -lt "$2" ] && echo "$1" || echo "$2"
}

host=1000000
guard=1000000
for start in 1 2 3 4 5 6 7 8; do
        limited env -i PATH=/bin "$strace" -f -o "$ROOT/trace" "$SLUICE" run true </dev/null >/dev/null 2>"$ERR" ||
                fail "start $start: $(cat "$ERR")"
        [ "$(calls_of host)" -gt 0 ] && [ "$(calls_of guard)" -gt 0 ] || fail "start $start: host or guard not seen"
        host=$(least "$(calls_of host)" "$host")
        guard=$(least "$(calls_of guard)" "$guard")
done
[ "$host" -le 195 ] || fail "host: $host system calls, at most 195 were expected"
[ "$guard" -le 65 ] || fail "guard: $guard system calls, at most 65 were expected"
