# Promises: what "cmake --install" makes is whole: a program is built against it by pkg-config and by find_package, shared
# and static, as C11 and as C++17, and runs; the command, the man page and the completion are there.
set -u
fails=0
fail()
{
        printf 'FAIL: %s\n' "$*" >&2
        fails=$((fails + 1))
}

[ -z "${SANITIZE-}" ] || {
        echo 'skipped: a program without the sanitizer cannot use a library that has it' >&2
        exit 77
}
work=$(mktemp -d /dev/shm/sluice-test.XXXXXX) || exit 1
trap 'rm -rf "$work"' EXIT
prefix=$work/prefix
DESTDIR='' cmake --install "${BUILD:?}" --prefix "$prefix" >"$work/log" 2>&1 || {
        cat "$work/log" >&2
        exit 1
}
cd "$work" || exit 1

libdir=$(dirname "$(find "$prefix" -name libsluice.so)")
for file in "$prefix/bin/sluice" "$prefix/share/man/man1/sluice.1" "$prefix/share/bash-completion/completions/sluice" \
        "$libdir/libsluice.a" "$libdir/libsluice.so.0" "$libdir/pkgconfig/sluice.pc" "$libdir/cmake/sluice/sluiceConfig.cmake" \
        "$prefix/include/sluice/sluice.h" "$prefix/include/sluice/stage.h" "$prefix/include/sluice/stages.h" \
        "$prefix/include/sluice/relay.h" "$prefix/include/sluice/version.h"; do
        [ -e "$file" ] || fail "not installed: ${file#"$prefix"/}"
done
for text in "$prefix/share/man/man1/sluice.1" "$prefix/share/bash-completion/completions/sluice"; do
        [ -s "$text" ] || fail "empty: ${text#"$prefix"/}"
done
[ "$("$prefix/bin/sluice" --version)" = "sluice $(sed -n 's/^Version: //p' "$libdir/pkgconfig/sluice.pc")" ] ||
        fail 'the command and sluice.pc are of different versions'
grep -rlF "${SOURCE:?}/engine" "$prefix" --include='*.pc' --include='*.cmake' --include='*.h' && fail 'installed files name the source folder'
bash -n "$prefix/share/bash-completion/completions/sluice" || fail 'the completion is no bash'

cat >program.c <<'PROGRAM'
#include <stdio.h>
#include <sluice/sluice.h>
#include <sluice/stages.h>

int main(int argc, char **argv)
{
        struct sluice_pipeline *p;
        int from, to, r;

        if (argc != 3 || sluice_pipeline_new(&p, NULL) < 0)
                return 2;
        from = sluice_add_file(p, argv[1], NULL);
        to = sluice_add_file(p, argv[2], NULL);
        sluice_pipeline_link(p, from, to);
        r = sluice_pipeline_run(p);
        fprintf(stderr, "%s: %s\n", sluice_version(), sluice_pipeline_error(p));
        sluice_pipeline_free(p);
        return r < 0;
}
PROGRAM
cp program.c program.cc
seq 1 20000 >in

# works PROGRAM
works()
{
        rm -f out
        LD_LIBRARY_PATH=$libdir timeout -s KILL 30 "$1" in out 2>"$work/said" || fail "$1: exit status $?: $(cat "$work/said")"
        cmp in out >&2 || fail "$1: the copy differs"
        LD_LIBRARY_PATH=$libdir timeout -s KILL 30 "$1" missing out 2>/dev/null && fail "$1: a missing file is no failure"
}

export PKG_CONFIG_PATH=$libdir/pkgconfig
pc="pkg-config sluice"
warnings='-Wall -Wextra -Wpedantic -Werror'
# shellcheck disable=SC2046,SC2086
{
        gcc -std=c11 $warnings program.c -o c-shared $($pc --cflags --libs) || fail 'pkg-config, shared, C11'
        works ./c-shared
        g++ -std=c++17 $warnings program.cc -o cxx-shared $($pc --cflags --libs) || fail 'pkg-config, shared, C++17'
        works ./cxx-shared
        # The linker takes the archive where it is told to: everything sluice needs must be in --static's answer.
        static=$($pc --static --libs)
        gcc -std=c11 $warnings program.c -o c-static $($pc --cflags) -Wl,-Bstatic $(printf '%s\n' $static | grep -vE '^-(pthread|ldl)$') \
                -Wl,-Bdynamic -pthread -ldl || fail 'pkg-config --static, C11'
        works ./c-static
        g++ -std=c++17 $warnings program.cc -o cxx-static $($pc --cflags) -Wl,-Bstatic \
                $(printf '%s\n' $static | grep -vE '^-(pthread|ldl)$') -Wl,-Bdynamic -pthread -ldl || fail 'pkg-config --static, C++17'
        works ./cxx-static
}
readelf -d c-shared | grep -q 'NEEDED.*libsluice.so.0' || fail 'linked shared, but does not need libsluice.so.0'
readelf -d c-static | grep -qE 'NEEDED.*(libsluice|liburing)' && fail 'linked static, but needs a shared one'

mkdir project && cp program.c program.cc project && cat >project/CMakeLists.txt <<'PROJECT'
cmake_minimum_required(VERSION 3.16)
project(user LANGUAGES C CXX)
set(CMAKE_C_STANDARD 11)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_CXX_STANDARD 17)
set(CMAKE_CXX_EXTENSIONS OFF)
find_package(sluice 0.1 REQUIRED)
foreach(kind sluice sluice_static)
        add_executable(c-${kind} program.c)
        target_link_libraries(c-${kind} PRIVATE sluice::${kind})
        add_executable(cxx-${kind} program.cc)
        target_link_libraries(cxx-${kind} PRIVATE sluice::${kind})
endforeach()
PROJECT
if cmake -G Ninja -S project -B built -DCMAKE_PREFIX_PATH="$prefix" >log 2>&1 && cmake --build built >>log 2>&1; then
        for program in c-sluice cxx-sluice c-sluice_static cxx-sluice_static; do
                works "./built/$program"
        done
        readelf -d built/c-sluice_static | grep -q 'NEEDED.*libsluice' && fail 'sluice::sluice_static is the shared one'
else
        cat log >&2
        fail 'find_package(sluice)'
fi
[ "$fails" = 0 ]
