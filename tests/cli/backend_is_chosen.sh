# Promises: io_uring moves bytes where it can be had, epoll where it is refused, either by name; -v says a refusal in one line,
# --json says which it was; a name that is none is a usage error. With either all bytes arrive.
. "$(dirname "$0")/lib.sh"
command -v jq >/dev/null || skip 'no jq'
unset SLUICE_BACKEND
make_bytes 3000000 in
refused()
{
        "${REFUSE_RING:?}" "$@"
}

# uses BACKEND PIPELINE [OPTION...]: all of it arrives, moved by that; $PREFIX runs the command.
PREFIX=(env)
uses()
{
        local backend=$1 pipeline=$2

        shift 2
        expect_status 0 "${PREFIX[@]}" "$SLUICE" run --json "$@" "$pipeline"
        jq -e ".loop.backend == $backend" "$OUT" >/dev/null || fail "${PREFIX[*]} $* '$pipeline': $(jq .loop.backend "$OUT"), not $backend"
        [ ! -e out ] || expect_same in out
        rm -f out
}

"$SLUICE" doctor | grep -qE '^ok +backend +io_uring$' && ring=1
# A file in memory is moved inline, and nothing is waited for: the ring driver is what needs a backend.
if [ "${ring-}" ]; then
        uses '"uring"' 'file:in | file:out' --driver=ring
        uses '"uring"' 'file:in | file:out' --driver=ring --backend=uring
        uses '"uring"' 'file:in | file:out' --driver=ring --backend=auto
        PREFIX=(env SLUICE_BACKEND=epoll)
        uses '"uring"' 'file:in | file:out' --driver=ring --backend=uring # the option counts
        PREFIX=(env)
        uses null 'file:in | cat | file:out' # nobody had to move anything
fi
for route in 'file:in | file:out' 'cat in | file:out,observe' 'file:in | cat | file:out,observe' 'file:in | gzip | zcat | file:out,observe'; do
        for driver in auto inline ring copy; do
                uses '"epoll"' "$route" --backend=epoll --driver=$driver
        done
        PREFIX=(env SLUICE_BACKEND=epoll)
        uses '"epoll"' "$route"
        PREFIX=(env)
done
expect_status 0 "$SLUICE" run -v --backend=epoll 'file:in | null:'
grep -q 'io_uring' "$ERR" && fail "epoll by name is no refusal: $(cat "$ERR")"

for name in '' URING io_uring sim; do
        expect_status 2 "$SLUICE" run "--backend=$name" 'file:in | null:'
        grep -q "^sluice: --backend= is one of auto, uring, epoll, not '$name'" "$ERR" || fail "--backend=$name: $(cat "$ERR")"
done
expect_status 2 env SLUICE_BACKEND=kqueue "$SLUICE" run 'file:in | null:'
grep -q "^sluice: SLUICE_BACKEND= is one of auto, uring, epoll, not 'kqueue'" "$ERR" || fail "$(cat "$ERR")"
expect_status 2 env SLUICE_BACKEND=kqueue "$SLUICE" exec -- true
expect_status 0 env SLUICE_BACKEND= "$SLUICE" run 'file:in | null:'
expect_status 3 "$SLUICE" exec --backend=epoll -- sh -c 'exit 3'

"$REFUSE_RING" true 2>/dev/null || skip 'no seccomp filters here'
for errno in EPERM ENOSYS ENOMEM; do
        PREFIX=("$REFUSE_RING" --errno=$errno)
        uses '"epoll"' 'file:in | file:out' --driver=ring
        uses '"epoll"' 'cat in | file:out,observe'
        uses null 'file:in | cat | file:out'
        expect_status 0 "${PREFIX[@]}" "$SLUICE" run -v --driver=ring 'file:in | file:out'
        expect_same in out
        [ "$(grep -c "^sluice: io_uring is refused ($errno: .*): epoll does its work; 'sluice doctor' names the cure$" "$ERR")" = 1 ] ||
                fail "$errno, -v: $(cat "$ERR")"
        expect_status 0 "${PREFIX[@]}" "$SLUICE" run --driver=ring 'file:in | file:out'
        expect_stderr 0
        rm -f out
        expect_status 1 "${PREFIX[@]}" "$SLUICE" run --backend=uring --driver=ring 'file:in | file:out'
        expect_stderr 1 "^sluice: .*io_uring is refused here; 'sluice doctor' names the cure"
        [ ! -s out ] || fail 'refused by name, and yet bytes came'
        rm -f out
done
true
