#!/usr/bin/env bash
# bench/cat_cat.sh [MIB] [PAIRS]: a file in memory through `cat | cat` into /dev/null, under sh and under `sluice run`.
#
# Each round is sh, sluice, sh: the second sh against the first is the null case, what the machine does to a ratio of
# one by itself. A round of each comes before, and does not count. CPU is user and system of everything that ran.
# In the same rounds two_cats joins the same two by a bare pipe of 64 KiB, 256 KiB and 1 MiB: what the size alone is worth.
#
# BENCH_APART=1 puts the two on CPU 0 and CPU 1, in all of them: where the scheduler puts them decides much (README.md).
set -eu
export LC_ALL=C

mib=${1:-2048}
pairs=${2:-5}
sluice=${SLUICE:-$(dirname "$0")/../build/bin/sluice}
memory=${BENCH_MEMORY:-/dev/shm}

[ -x "$sluice" ] || { echo "cat_cat: no $sluice: build it, or say SLUICE=" >&2; exit 2; }
free_kib=$(df --output=avail -k "$memory" 2>/dev/null | tail -n 1) || free_kib=0
if [ "$free_kib" -lt $((mib * 1024 + 1024)) ]; then
        echo "cat_cat: less than $mib MiB are free in $memory" >&2
        exit 77
fi

sluice=$(realpath "$sluice")
folder=$(mktemp -d "$memory/sluice-bench.XXXXXX")
trap 'rm -rf "$folder"' EXIT
trap 'exit 130' INT TERM
cd "$folder"
head -c "${mib}M" /dev/zero > file

first='cat file' second=cat
if [ -n "${BENCH_APART-}" ]; then
        taskset -c 0,1 true || exit 77
        first='taskset -c 0 cat file' second='taskset -c 1 cat'
fi
by_sh() { sh -c "$first | $second > /dev/null"; }
by_sluice() { "$sluice" run "$first | $second | null:"; }
two_cats=$(dirname "$sluice")/two_cats
pipe_64() { "$two_cats" 64 file; }
pipe_256() { "$two_cats" 256 file; }
pipe_1024() { "$two_cats" 1024 file; }
sizes=
[ -x "$two_cats" ] && [ -z "${BENCH_APART-}" ] && sizes='pipe_64 pipe_256 pipe_1024'

# measure NAME COMMAND: appends "seconds cpu" to the file NAME.
measure()
{
        local TIMEFORMAT='%R %U %S' line

        line=$({ time "$2" > /dev/null 2>&3; } 3>&2 2>&1)
        set -- "$1" $line
        awk -v r="$2" -v u="$3" -v s="$4" 'BEGIN { print (r > 0 ? r : 0.001), u + s }' >> "$1"
}

# table NAME: its medians, and the spread of what it took.
table()
{
        awk -v name="$1" -v mib="$mib" '
                function sort(a, n,  i, j, x) { for (i = 2; i <= n; i++) { x = a[i]
                        for (j = i - 1; j > 0 && a[j] > x; j--) a[j + 1] = a[j]
                        a[j + 1] = x } }
                function median(a, n) { return n % 2 ? a[(n + 1) / 2] : (a[n / 2] + a[n / 2 + 1]) / 2 }
                { speed[NR] = mib / 1024 / $1; cpu[NR] = $2 / (mib / 1024) }
                END { sort(speed, NR); sort(cpu, NR)
                        printf "%-10s %8.2f GiB/s (%.2f to %.2f)   %6.3f CPU s/GiB (%.3f to %.3f)\n", name, median(speed, NR),
                                speed[1], speed[NR], median(cpu, NR), cpu[1], cpu[NR] }' "$1"
}

# ratio TEXT SLOW FAST: pair by pair, how many times the throughput of SLOW has FAST, and its share of the CPU.
ratio()
{
        paste "$2" "$3" | awk -v text="$1" '
                function sort(a, n,  i, j, x) { for (i = 2; i <= n; i++) { x = a[i]
                        for (j = i - 1; j > 0 && a[j] > x; j--) a[j + 1] = a[j]
                        a[j + 1] = x } }
                function median(a, n) { return n % 2 ? a[(n + 1) / 2] : (a[n / 2] + a[n / 2 + 1]) / 2 }
                { times[NR] = $1 / $3; cpu[NR] = $2 > 0 ? $4 / $2 : 1; all = all sprintf(" %.2f", times[NR]) }
                END { sort(times, NR); sort(cpu, NR)
                        printf "%-22s %.2f times the throughput (%.2f to %.2f), %.2f times the CPU (%.2f to %.2f); by pair:%s\n", text,
                                median(times, NR), times[1], times[NR], median(cpu, NR), cpu[1], cpu[NR], all }'
}

pipe_of_sh()
{
        # F_GETPIPE_SZ is 1032.
        sh -c 'true | perl -e "printf qq(%d\n), fcntl(STDIN, 1032, 0)"' 2>/dev/null || echo unknown
}

# Of the first link that has a pipe, from the run's own statistics.
pipe_of_sluice()
{
        "$sluice" run --json 'cat file | cat | null:' | grep -o '"mode":"pipe"[^}]*"pipe_bytes":[0-9]*' | head -n 1 |
                grep -o '[0-9]*$' || echo unknown
}

by_sh
by_sluice
for _ in $(seq "$pairs"); do
        measure sh by_sh
        measure sluice by_sluice
        measure sh-again by_sh
        for size in $sizes; do
                measure "$size" "$size"
        done
done

echo "$mib MiB in $memory${BENCH_APART:+, the two on CPUs of their own}, $pairs rounds of sh, sluice, sh; $(nproc) CPUs, load $(cut -d' ' -f1-3 /proc/loadavg); medians (least to most)"
table sh
table sluice
table sh-again
for size in $sizes; do
        table "$size"
done
ratio "sluice to sh:" sh sluice
[ -z "$sizes" ] || ratio "bare 1 MiB to 64 KiB:" pipe_64 pipe_1024
[ -z "$sizes" ] || ratio "bare 256 to 64 KiB:" pipe_64 pipe_256
[ -z "$sizes" ] || ratio "sluice to bare 1 MiB:" pipe_1024 sluice
ratio "sh to itself (null):" sh sh-again
echo "pipe between the two: $(pipe_of_sh) bytes under sh, $(pipe_of_sluice) under sluice"
