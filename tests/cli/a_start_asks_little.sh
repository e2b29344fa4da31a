# Promise: a pipeline is begun and ended with few system calls, its guard's among them: what is added here, every start pays.
# Counted by strace, the loader's too, the command's own not; neither the clock nor what else runs has a part in it. The
# bounds are 5 % above what Debian 12 counts as root, with cgroup v2 and one memory node: 185 and 62.
. "$(dirname "$0")/lib.sh"
[ -z "$SANITIZE" ] || skip 'strace of a sanitizer build'
strace=$(command -v strace) && "$strace" -o /dev/null true 2>/dev/null || skip 'no strace'
nodes=$(cat /sys/devices/system/node/online 2>/dev/null)
[ "${nodes:-0}" = 0 ] || skip "memory nodes $nodes: what they are is read at the start"

limited env -i PATH=/bin "$strace" -f -o "$ROOT/trace" "$SLUICE" run true </dev/null >/dev/null 2>"$ERR" || fail "$(cat "$ERR")"

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

# at_most WHO CALLS
at_most()
{
        local calls

        calls=$(calls_of "$1")
        [ "$calls" -gt 0 ] || fail "$1: not seen"
        [ "$calls" -le "$2" ] || fail "$1: $calls system calls, at most $2 were expected"
}

at_most host 195
at_most guard 65
