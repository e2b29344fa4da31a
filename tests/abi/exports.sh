# Promises: the shared library exports sluice_... and nothing else, in one version; its name is libsluice.so.0; the static
# one defines no global name that a host's could collide with but its own modules' ones.
set -u
library=${BUILD:?}/lib/libsluice.so
fails=0
fail()
{
        printf 'FAIL: %s\n' "$*" >&2
        fails=$((fails + 1))
}

[ -e "$library" ] || {
        echo "skipped: no $library" >&2
        exit 77
}
exports=$(nm -D --defined-only "$library")
foreign=$(printf '%s\n' "$exports" | awk '{ print $3 }' | grep -vE '^(sluice_[a-z0-9_]+@@SLUICE_0|SLUICE_0(@@SLUICE_0)?)$')
if [ "${SANITIZE-}" ]; then
        foreign=$(printf '%s\n' "$foreign" | grep -vE '^(__asan|__tsan|__ubsan|__sanitizer|_init|_fini)')
fi
[ -z "$foreign" ] || fail "exported as well: $foreign"
soname=$(readelf -d "$library" | sed -n 's/.*(SONAME).*\[\(.*\)\]/\1/p')
[ "$soname" = libsluice.so.0 ] || fail "the soname is '$soname'"
nodes=$(readelf -W --version-info "$library" | sed -n '/\.gnu\.version_d/,/\.gnu\.version_r/s/.*Name: \(.*\)/\1/p' | grep -v '^libsluice' | sort -u)
[ "$nodes" = SLUICE_0 ] || fail "version nodes: $nodes"

# What the headers promise is there, and what is there is promised.
declared=$(cat "${SOURCE:?}"/engine/include/sluice/*.h | sed 's|//.*||' | tr '\n' ' ' | sed 's|/\*[^*]*\*\+\([^/*][^*]*\*\+\)*/||g' |
        grep -oE '\bsluice_[a-z0-9_]+\(' | tr -d '(' | grep -v '_fn$' | sort -u)
exported=$(printf '%s\n' "$exports" | awk '$2 ~ /[TW]/ { print $3 }' | sed -n 's/@@SLUICE_0$//p' | grep '^sluice_' | sort -u)
for name in $declared; do
        printf '%s\n' "$exported" | grep -qx "$name" || fail "declared in a public header, not exported: $name"
done
for name in $exported; do
        printf '%s\n' "$declared" | grep -qx "$name" || fail "exported, but in no public header: $name"
done
# Nobody can interpose on the inside, and nothing must be made writable to load it.
readelf -d "$library" | grep -q TEXTREL && fail 'text relocations'
readelf -W -l "$library" | grep -qE 'GNU_STACK.*RWE' && fail 'an executable stack'
[ "$fails" = 0 ]
