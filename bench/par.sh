#!/usr/bin/env bash
# bench/par.sh [MIB] [ROUNDS]: gzip of a log by two at once: `sluice run 'file:log | par(2, gzip -c) | null:'`, pigz -p 2, and
# `parallel --pipe` (GNU), each where it is installed; and by one gzip alone. In rounds, in an order that changes, compared pair
# by pair with sluice; sluice twice is the null case.
#
# All read the file and write to /dev/null, with parts of 1 MiB (pigz: -b 1024) and level 6. CPU is all that ran.
set -eu
export LC_ALL=C

mib=${1:-128}
rounds=${2:-9}
bin=$(realpath "$(dirname "$0")/../build/bin")
sluice=${SLUICE:-$bin/sluice}
memory=${BENCH_MEMORY:-/dev/shm}

[ -x "$sluice" ] && [ -x "$bin/sluice-bench-pairs" ] || { echo "par: no $sluice or $bin/sluice-bench-pairs: build them" >&2; exit 2; }
log=$(mktemp "$memory/sluice-bench.XXXXXX")
trap 'rm -f "$log"' EXIT
trap 'exit 130' INT TERM
# Lines as a web server writes them: they compress about ten times, as logs do.
awk -v bytes="$((mib << 20))" 'BEGIN {
        srand(1)
        while (n < bytes) {
                line = sprintf("10.%d.%d.%d - - [24/Nov/2026:%02d:%02d:%02d +0000] \"GET /item/%d HTTP/1.1\" 200 %d \"-\" \"curl/7.88\"",
                        rand() * 4, rand() * 256, rand() * 256, rand() * 24, rand() * 60, rand() * 60, rand() * 1e6, rand() * 1e5)
                print line
                n += length(line) + 1
        }
}' > "$log"

commands=("$sluice" run "file:$log | par(2, gzip -c) | null:")
commands+=(--- "$sluice" run "file:$log | par(2, gzip -c) | null:")
if command -v pigz > /dev/null; then
        commands+=(--- pigz -p 2 -b 1024 -c "$log")
fi
if parallel --version 2> /dev/null | grep -q 'GNU parallel'; then
        commands+=(--- sh -c "parallel --will-cite --pipe --block 1M -j 2 -k gzip -c < '$log'")
fi
commands+=(--- gzip -c "$log")
echo "$mib MiB, $rounds rounds; $(nproc) CPUs, load $(cut -d' ' -f1-3 /proc/loadavg)"
"$bin/sluice-bench-pairs" "$rounds" -- "${commands[@]}"
