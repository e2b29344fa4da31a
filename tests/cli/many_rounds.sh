#!/usr/bin/env bash
# many_rounds.sh: pipelines drawn at random (size, route, driver) arrive byte for byte, round after round, and nothing is
# left of them. Long tier: ROUNDS of them (default 1500), the seed printed; SEED=N draws the same again.
# --break: one byte in a hundred rounds is changed behind the pipeline's back; the test must turn red.
set -u
. "$(dirname "$0")/lib.sh"

rounds=${ROUNDS:-1500}
seed=${SEED:-$RANDOM}
broken=0
[[ ${1-} == --break ]] && { broken=1; rounds=200; }
RANDOM=$seed
echo "seed $seed, $rounds rounds"

head -c 3000000 /dev/urandom >pool
sizes=(0 1 4095 4096 4097 65535 65536 65537 300000 1048577 2999999)
drivers=(auto inline ring copy)
routes=('file:in | file:out' 'file:in | cat | file:out' 'file:in | cat | cat | file:out,observe' 'file:in,snapshot | file:out,atomic'
        '- | -' '- | cat | -' 'cat in | append:out' 'file:in,until=size-at-open | cat | -' 'file:in | sh -c "cat; true" | file:out,sync=data')

for ((i = 1; i <= rounds; i++)); do
        size=${sizes[RANDOM % ${#sizes[@]}]}
        driver=${drivers[RANDOM % ${#drivers[@]}]}
        route=${routes[RANDOM % ${#routes[@]}]}
        head -c "$size" pool >in
        : >out
        # The route's own output file, or standard output where it ends there.
        if [[ $route == *'-' ]]; then
                "$SLUICE" run --driver="$driver" "$route" <in >out
        else
                "$SLUICE" run --driver="$driver" "$route" <in
        fi || fail "round $i: $driver: $route: status $?"
        ((broken && i % 100 == 0)) && printf x >>out
        cmp -s in out || fail "round $i: $size bytes, $driver: $route"
        rm -f out
done
left=$(find . -type f ! -name pool ! -name in | wc -l)
((left == 0)) || fail "$left files left behind"
echo "$rounds rounds done, $fails wrong, $left files left behind"
