#!/usr/bin/env bash
# bench/start_cost.sh [PAIRS]: ten cats in a row, whole programs: `sluice run` and `dash -c`, each with its own start.
#
# Every round (200) runs dash twice, the second time for the null case, and `sluice run --no-guard` in an order that
# changes. Then the same with and without the guard: what it adds. start_cost.c says what a pipeline costs inside a
# program that runs already; pairs.c does the measuring. SLUICE= says which sluice.
set -eu
export LC_ALL=C

pairs=${1:-200}
sluice=${SLUICE:-$(dirname "$0")/../build/bin/sluice}
runner=${SLUICE_PAIRS:-$(dirname "$sluice")/sluice-bench-pairs}

missing=
for program in "$sluice" "$runner"; do
        [ -x "$program" ] || { echo "start_cost: no $program: build it (ninja), or say SLUICE=" >&2; missing=1; }
done
[ -z "$missing" ] || exit 2
command -v dash > /dev/null || { echo "start_cost: no dash to compare with: apt-get install dash" >&2; missing=1; }
command -v cat > /dev/null || { echo "start_cost: no cat: apt-get install coreutils" >&2; missing=1; }
[ -z "$missing" ] || exit 77

sluice=$(realpath "$sluice")
runner=$(realpath "$runner")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
trap 'exit 130' INT TERM
cd "$folder"
echo 'one line' > file

cats='cat file'
for _ in 2 3 4 5 6 7 8 9 10; do
        cats="$cats | cat"
done

echo "$(nproc) CPUs, load $(cut -d' ' -f1-3 /proc/loadavg)"
echo
echo "== dash, dash again (null), sluice without the guard =="
"$runner" "$pairs" -- dash -c "$cats" --- dash -c "$cats" --- "$sluice" run --no-guard "$cats"
echo
echo "== sluice without the guard, with it =="
"$runner" "$pairs" -- "$sluice" run --no-guard "$cats" --- "$sluice" run "$cats"
