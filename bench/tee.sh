#!/usr/bin/env bash
# bench/tee.sh [MIB] [ROUNDS]: a file in memory to 2 and 4 places, by coreutils' tee, by pee of moreutils where it is
# installed, and by `sluice run '... | tee(...)'`.
#
# Places are files in memory, `cat >/dev/null` commands, and /dev/null itself, where nothing but the tee counts: a file in
# tmpfs is filled by a copy, whoever does it. Each round is tee, sluice, pee, tee: the second tee against the first is the
# null case, what the machine does to a ratio of one by itself. One round comes before and does not count. CPU is user and
# system of everything that ran.
set -eu
export LC_ALL=C

mib=${1:-1024}
rounds=${2:-5}
sluice=${SLUICE:-$(dirname "$0")/../build/bin/sluice}
memory=${BENCH_MEMORY:-/dev/shm}

[ -x "$sluice" ] || { echo "tee: no $sluice: build it, or say SLUICE=" >&2; exit 2; }
free_kib=$(df --output=avail -k "$memory" 2>/dev/null | tail -n 1) || free_kib=0
if [ "$free_kib" -lt $((mib * 1024 * 5 + 1024)) ]; then
        echo "tee: less than 5 times $mib MiB are free in $memory" >&2
        exit 77
fi

sluice=$(realpath "$sluice")
folder=$(mktemp -d "$memory/sluice-bench.XXXXXX")
trap 'rm -rf "$folder"' EXIT
trap 'exit 130' INT TERM
cd "$folder"
head -c "${mib}M" /dev/zero > file

has_pee=
command -v pee > /dev/null && has_pee=1

# Everybody reads the file as his standard input, and has /dev/null as his standard output.
tee_files_2() { tee a > b < file; }
tee_files_4() { tee a b c > d < file; }
tee_null_2() { tee /dev/null > /dev/null < file; }
tee_null_4() { tee /dev/null /dev/null /dev/null > /dev/null < file; }
# A process substitution outlives its shell: measure() waits for it.
tee_commands_2() { tee >(cat > /dev/null) < file | cat > /dev/null; }
tee_commands_4() { tee >(cat > /dev/null) >(cat > /dev/null) >(cat > /dev/null) < file | cat > /dev/null; }
pee_files_2() { pee 'cat > a' 'cat > b' < file; }
pee_files_4() { pee 'cat > a' 'cat > b' 'cat > c' 'cat > d' < file; }

pee_commands_2() { pee 'cat > /dev/null' 'cat > /dev/null' < file; }
pee_commands_4() { pee 'cat > /dev/null' 'cat > /dev/null' 'cat > /dev/null' 'cat > /dev/null' < file; }
sluice_files_2() { "$sluice" run 'file:file | tee(file:a, file:b)'; }
sluice_files_4() { "$sluice" run 'file:file | tee(file:a, file:b, file:c, file:d)'; }
sluice_null_2() { "$sluice" run 'file:file | tee(null:, null:)'; }
sluice_null_4() { "$sluice" run 'file:file | tee(null:, null:, null:, null:)'; }
sluice_commands_2() { "$sluice" run 'file:file | tee(cat | null:, cat | null:)'; }
sluice_commands_4() { "$sluice" run 'file:file | tee(cat | null:, cat | null:, cat | null:, cat | null:)'; }

# measure NAME COMMAND: appends "seconds cpu" to the file NAME. A shell of its own runs it and is waited for with all that
# it began; `times` of that shell alone would miss what a process substitution used.
measure()
{
        rm -f a b c d
        python3 - "$1" "$2" << 'PY'
import os, resource, subprocess, sys, time
name, command = sys.argv[1:3]
import ctypes
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: what outlives the shell is waited for too
begin = time.monotonic()
status = subprocess.Popen(['bash', '-c', command], stdout=subprocess.DEVNULL).wait()
while True:
    try:
        os.wait()
    except ChildProcessError:
        break
seconds = time.monotonic() - begin
used = resource.getrusage(resource.RUSAGE_CHILDREN)
if status:
    sys.exit('tee: %s ended with %d' % (command, status))
with open(name, 'a') as out:
    print(max(seconds, 0.001), used.ru_utime + used.ru_stime, file=out)
PY
}

functions=$(compgen -A function | grep -E '^(tee|pee|sluice)_(files|null|commands)_[24]$')
for f in $functions; do
        export -f "${f?}"
done
export sluice

sort_and_median='
        function sort(a, n,  i, j, x) { for (i = 2; i <= n; i++) { x = a[i]
                for (j = i - 1; j > 0 && a[j] > x; j--) a[j + 1] = a[j]
                a[j + 1] = x } }
        function median(a, n) { return n % 2 ? a[(n + 1) / 2] : (a[n / 2] + a[n / 2 + 1]) / 2 }'

# table NAME: its medians, and the spread of what it took.
table()
{
        awk -v name="$1" -v mib="$mib" "$sort_and_median"'
                { speed[NR] = mib / 1024 / $1; cpu[NR] = $2 / (mib / 1024) }
                END { sort(speed, NR); sort(cpu, NR)
                        printf "%-20s %8.2f GiB/s (%.2f to %.2f)   %6.3f CPU s/GiB (%.3f to %.3f)\n", name, median(speed, NR),
                                speed[1], speed[NR], median(cpu, NR), cpu[1], cpu[NR] }' "$1"
}

# ratio TEXT DEAR CHEAP: pair by pair, how many times the CPU of CHEAP takes DEAR, and how many times as fast CHEAP is.
ratio()
{
        paste "$2" "$3" | awk -v text="$1" "$sort_and_median"'
                { cpu[NR] = $4 > 0 ? $2 / $4 : 0; times[NR] = $1 / $3 }
                END { sort(cpu, NR); sort(times, NR)
                        printf "  %-28s %6.2f times the CPU (%.2f to %.2f), %5.2f times the time (%.2f to %.2f)\n", text,
                                median(cpu, NR), cpu[1], cpu[NR], median(times, NR), times[1], times[NR] }'
}

echo "$mib MiB, $rounds rounds; $(nproc) CPUs, load $(cut -d' ' -f1-3 /proc/loadavg)"
for where in null files commands; do
        for n in 2 4; do
                what=${where}_$n others=
                [ "$has_pee" ] && [ "$where" != null ] && others=pee_$what
                for ((round = 0; round <= rounds; round++)); do
                        measure "tee_$what" "tee_$what"
                        measure "sluice_$what" "sluice_$what"
                        [ -z "$others" ] || measure "pee_$what" "pee_$what"
                        measure "again_$what" "tee_$what"
                        [ "$round" -gt 0 ] || rm -f "tee_$what" "sluice_$what" "pee_$what" "again_$what"
                done
                for one in tee sluice ${others:+pee} again; do
                        table "${one}_$what"
                done
                ratio 'tee to sluice' "tee_$what" "sluice_$what"
                [ -z "$others" ] || ratio 'pee to sluice' "pee_$what" "sluice_$what"
                ratio 'tee to itself (null case)' "tee_$what" "again_$what"
        done
done
