# Promises: what is built for use cannot be rewritten while it runs: its stack is no code, its tables of addresses are read-only
# once it has started, it lies where nobody knows beforehand, and what runs over in it ends it.
set -u
cd "${BUILD:?}" || exit 1
[ -z "${SANITIZE:-}" ] || {
        echo 'skipped: a sanitizer brings its own' >&2
        exit 77
}
grep -q '^CMAKE_BUILD_TYPE:STRING=Debug$' CMakeCache.txt && {
        echo 'skipped: built for debugging' >&2
        exit 77
}
command -v readelf >/dev/null || {
        echo 'skipped: no readelf' >&2
        exit 77
}
fails=0
fail()
{
        printf 'FAIL: %s\n' "$*" >&2
        fails=1
}

library=$(readlink -f lib/libsluice.so)

# Every program and library of ours, the guard too.
for file in bin/sluice bin/sluice-worker bin/sluice-guard "$library"; do
        segments=$(readelf -lW "$file") || fail "$file cannot be read"
        grep -qE 'GNU_STACK .* RW +0x' <<<"$segments" || fail "$file: its stack is code"
        grep -E '^ +LOAD .* (RWE|WE) ' <<<"$segments" >&2 && fail "$file: memory that is written and run"
done

# The guard is without libc and loader: it has no table to be rewritten.
readelf -lW bin/sluice-guard | grep -E 'INTERP|DYNAMIC' >&2 && fail 'bin/sluice-guard needs a loader'
[ -z "$(nm -u bin/sluice-guard 2>/dev/null)" ] || fail 'bin/sluice-guard calls what it has not'

for file in bin/sluice bin/sluice-worker "$library"; do
        readelf -lW "$file" | grep -q GNU_RELRO || fail "$file: no RELRO"
        readelf -dW "$file" | grep -qE 'BIND_NOW|\(FLAGS_1\).*NOW' || fail "$file: addresses are found when they are used, not at its start"
        readelf -hW "$file" | grep -qE 'Type: +DYN' || fail "$file: lies at a fixed address"
done
for file in bin/sluice bin/sluice-worker; do
        readelf -dW "$file" | grep -qE '\(FLAGS_1\).*PIE' || fail "$file: no PIE"
done

# Seen by what they call.
for file in bin/sluice "$library"; do
        symbols=$(readelf --dyn-syms -W "$file")
        grep -q '__stack_chk_fail@' <<<"$symbols" || fail "$file: no stack protector"
        grep -qE '__(memcpy|snprintf|vsnprintf|sprintf|read|fprintf)_chk@' <<<"$symbols" || fail "$file: no _FORTIFY_SOURCE"
done

# Seen by what they are made of: an indirect call lands on a mark only.
if [ "$(uname -m)" = x86_64 ]; then
        objdump -d --no-show-raw-insn bin/sluice | grep -A1 '<run_main>:' | grep -q endbr64 || fail 'bin/sluice: no -fcf-protection'
fi
exit $fails
