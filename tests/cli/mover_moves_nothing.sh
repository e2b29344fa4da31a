# Promises: where processes can do it themselves, sluice's own process moves no byte; where it moves them by splice, none
# goes by read, write or send. Seen by strace; what goes by the ring strace cannot see, there the counters say it.
. "$(dirname "$0")/lib.sh"
[ -z "$SANITIZE" ] || skip 'strace of a sanitizer build'
command -v strace >/dev/null && strace -o /dev/null true 2>/dev/null || skip 'no strace'
python3 -c 'import json, re' 2>/dev/null || skip 'no python3 with json'
squeeze='zstd -c'
command -v zstd >/dev/null || squeeze='gzip -c'

BYTES=4000000
make_bytes $BYTES in
calls=read,readv,pread64,preadv,preadv2,write,writev,pwrite64,pwritev,pwritev2,splice,tee,vmsplice,sendfile,copy_file_range
calls=$calls,sendto,sendmsg,sendmmsg,recvfrom,recvmsg,recvmmsg,execve,clone,clone3,fork,vfork

# traced OPTION... PIPELINE: leaves "call bytes target" lines of sluice's own threads in $ROOT/own, its children's in
# $ROOT/children; target is what the descriptor that received (splice: the second) or was used is.
traced()
{
        limited strace -f -yy -e trace=$calls -o "$ROOT/trace" "$SLUICE" run "$@" >"$OUT" 2>"$ERR" ||
                fail "under strace: $*: $(cat "$ERR")"
        python3 - "$ROOT" <<'PY'
import re, sys
root = sys.argv[1]
first, children, parent, moves, unfinished = None, set(), {}, [], {}
for line in open(root + '/trace', errors='replace'):
    m = re.match(r'(\d+) +(.*)', line)
    pid, text = m.group(1), m.group(2)
    first = first or pid
    if text.endswith('<unfinished ...>'):
        unfinished[pid] = text[:-len('<unfinished ...>')]
        continue
    resumed = re.match(r'<\.\.\. \w+ resumed>(.*)', text)
    if resumed:
        text = unfinished.pop(pid, '') + resumed.group(1)
    m = re.match(r'(\w+)\((.*)\)\s+= (-?\d+)', text)
    if not m:
        continue
    call, arguments, result = m.group(1), m.group(2), int(m.group(3))
    if call == 'execve':
        if pid != first and result == 0:
            children.add(pid)
        continue
    if call in ('clone', 'clone3', 'fork', 'vfork'):
        parent[str(result)] = pid
        continue
    fds = re.findall(r'(?:^|, )(\d+<[^"]*?>+)(?=,|$)', arguments)
    target = fds[-1] if call in ('splice', 'tee', 'sendfile', 'copy_file_range') and fds else fds[0] if fds else '?'
    if result > 0:
        moves.append((pid, call, result, target.replace(' ', '')))


def child(pid):
    return pid in children or pid in parent and child(parent[pid])


for name, want in (('own', False), ('children', True)):
    with open(root + '/' + name, 'w') as f:
        for pid, call, result, target in moves:
            if bool(child(pid)) == want:
                print(call, result, target, file=f)
PY
}

# moved FILE CALLS TARGET: the sum, CALLS and TARGET as patterns.
moved()
{
        awk -v calls="^($2)\$" -v target="$3" '$1 ~ calls && $3 ~ target { n += $2 } END { print n + 0 }' "$ROOT/$1"
}

# Only its own loading: its library headers, /proc, the rings' eventfds.
moves_nothing()
{
        local n

        n=$(moved own '.*' '.')
        [ "$n" -lt 100000 ] || fail "$1: sluice itself moved $n bytes: $(sort -k2 -n "$ROOT/own" | tail -n 3)"
        n=$(moved own '.*' "$T/(in|out)")
        [ "$n" = 0 ] || fail "$1: sluice itself touched the files: $(grep "$T/" "$ROOT/own" | head -n 3)"
}

traced "file:in | $squeeze | file:out"
moves_nothing 'file | compressor | file'
[ "$(moved children 'read|pread64' "$T/in")" = $BYTES ] || fail 'the compressor did not read the file itself'
[ "$(moved children 'write' "$T/out")" = "$(stat -c %s out)" ] || fail 'the compressor did not write the file itself'
${squeeze/-c/-dc} <out | cmp - in >&2 || fail 'the compressed file is not whole'

traced 'file:in | cat | cat | file:out'
moves_nothing 'file | cat | cat | file'
expect_same in out
rm -f log
traced 'file:in | cat | append:log'
moves_nothing 'file | cat | append'
traced 'cat in | cat | null:'
moves_nothing 'cat | cat | null'

# file | tcp, spliced by the loop's thread: the socket gets all of it, and all of it by splice.
start_listener 'tcp-listen:127.0.0.1:PORT | file:out'
traced --driver=inline --json "file:in | tcp:127.0.0.1:$PORT"
end_listener
expect_same in out
n=$(moved own splice 'TCP')
[ "$n" = $BYTES ] || fail "splice moved $n bytes of $BYTES into the socket: $(head -n 5 "$ROOT/own")"
n=$(moved own 'read|readv|pread.*|write|writev|pwrite.*|sendto|sendmsg|recvfrom|recvmsg|sendfile' "(TCP|$T/in|pipe)")
[ "$n" -lt 1000 ] || fail "$n bytes went by read, write or send"

# The receiving side.
random_port
while listening "$PORT"; do
        random_port
done
limited strace -f -yy -e trace=$calls -o "$ROOT/trace2" "$SLUICE" run --driver=inline "tcp-listen:127.0.0.1:$PORT | file:out" 2>"$ERR" &
LISTENER=$!
until_true listening "$PORT" || fail "no listener under strace: $(cat "$ERR")"
expect_status 0 "$SLUICE" run "file:in | tcp:127.0.0.1:$PORT"
wait $LISTENER || fail "the listener failed: $(cat "$ERR")"
expect_same in out
n=$(sed -n 's/.*splice(.*TCP:.* = \([0-9]*\)$/\1/p' "$ROOT/trace2" | awk '{ n += $1 } END { print n + 0 }')
[ "$n" = $BYTES ] || fail "splice moved $n bytes of $BYTES out of the socket"

# By the ring.
for driver in inline ring; do
        start_listener 'tcp-listen:127.0.0.1:PORT | file:out' --driver=$driver --json
        expect_status 0 "$SLUICE" run --driver=$driver --json "file:in | tcp:127.0.0.1:$PORT"
        end_listener
        expect_same in out
        for report in "$OUT" "$ROOT/listener.out"; do
                python3 - "$report" $BYTES $driver <<'PY' || fail "--driver=$driver: $(cat "$report")"
import json, sys
r = json.loads(open(sys.argv[1]).read())
link, bytes, driver = r['links'][0], int(sys.argv[2]), sys.argv[3]
ops = link['operations']
ok = (r['bytes_copied'] == 0 and link['mode'] == 'splice' and link['driver'] == driver and link['bytes_spliced'] == bytes == r['bytes'] and
      ops['splice'] > 0 and ops[driver] >= ops['splice'] and ops['read'] == ops['write'] == ops['send'] == 0)
sys.exit(not ok)
PY
        done
done
true
