# Promises: each public header compiles alone and first, as strict C11 and as C++17, without a warning, and twice.
set -u
include=${SOURCE:?}/engine/include
work=$(mktemp -d /dev/shm/sluice-test.XXXXXX) || exit 1
trap 'rm -rf "$work"' EXIT
fails=0
warnings='-Wall -Wextra -Wpedantic -Werror'

# compile COMPILER FLAGS FILE
compile()
{
        # shellcheck disable=SC2086
        $1 $2 $warnings -I"$include" -fsyntax-only "$3" || {
                echo "FAIL: $1 $2: $(cat "$3")" >&2
                fails=1
        }
}

compilers=0
for pair in gcc:g++ clang:clang++ clang-14:clang++-14; do
        c=${pair%:*} cxx=${pair#*:}
        command -v "$c" >/dev/null && command -v "$cxx" >/dev/null || continue
        compilers=$((compilers + 1))
        for header in "$include"/sluice/*.h; do
                name=sluice/${header##*/}
                printf '#include <%s>\n#include <%s>\nint main(void) { return 0; }\n' "$name" "$name" >"$work/alone.c"
                cp "$work/alone.c" "$work/alone.cc"
                compile "$c" -std=c11 "$work/alone.c"
                compile "$cxx" '-std=c++17' "$work/alone.cc"
        done
        for header in "$include"/sluice/*.h; do
                echo "#include <sluice/${header##*/}>"
        done >"$work/all.c"
        echo 'int main(void) { return 0; }' >>"$work/all.c"
        cp "$work/all.c" "$work/all.cc"
        compile "$c" '-std=c11 -Wstrict-prototypes -Wmissing-prototypes -Wshadow' "$work/all.c"
        compile "$cxx" '-std=c++17 -Wold-style-cast' "$work/all.cc"
done
[ "$compilers" -gt 0 ] || exit 77
exit $fails
