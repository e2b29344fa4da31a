# Promises: uring/ knows nothing of sluice, engine/ nothing of the stages, stages/ and tools/ only what any user of the
# library could; and the top level holds what it should and no more.
set -u
cd "${SOURCE:?}" || exit 1
fails=0
fail()
{
        printf 'FAIL: %s\n' "$*" >&2
        fails=$((fails + 1))
}

# includes FOLDER: "file:header" of every #include, header with its <> or "".
includes()
{
        grep -oE '^[[:space:]]*#[[:space:]]*include[[:space:]]*[<"][^>"]+[>"]' -r "$1" --include='*.[ch]' | sed 's/:[^<"]*/:/'
}

own()
{
        [ -e "$1/$2" ]
}

# Headers of libc and the kernel: what the compiler finds without help, and that no other package brought.
libc()
{
        case $1 in
        linux/* | sys/* | asm/* | net/* | netinet/* | arpa/*) return 0 ;;
        */*) return 1 ;;
        hwloc.h | liburing.h | jansson.h | cmocka.h | pthread_np.h | zstd.h | xxhash.h) return 1 ;;
        *.h) return 0 ;;
        esac
        return 1
}

# check FOLDER SYSTEM_EXTRA OWN_FOLDERS: SYSTEM_EXTRA is a pattern of <...> headers allowed besides libc.
check()
{
        local folder=$1 extra=$2 file header name ok where

        shift 2
        while IFS=: read -r file header; do
                name=${header:1:-1}
                ok=
                if [ "${header:0:1}" = '<' ]; then
                        libc "$name" && ok=1
                        [[ $name =~ $extra ]] && ok=1
                else
                        for where; do
                                own "$where" "$name" && ok=1
                        done
                fi
                [ "$ok" ] || fail "$file includes $header"
        done < <(includes "$folder")
}

check uring '^(liburing\.h|hwloc\.h)$' uring
check engine '^sluice/' engine uring
# The libraries that a stage is made of: compression, checksums.
check stages '^(sluice/|nettle/|zstd\.h$|xxhash\.h$)' stages
check tools '^(sluice/|jansson\.h$)' tools
# A header of engine/ that has the name of one of stages/ would hide the mistake.
for header in stages/*.h; do
        [ ! -e "engine/${header#*/}" ] || fail "engine/ and stages/ both have ${header#*/}"
        grep -rlF "\"${header#*/}\"" engine uring tools --include='*.[ch]' | while read -r file; do
                [ -e "$(dirname "$file")/${header#*/}" ] || echo "$file"
        done | grep . && fail "${header#*/} is for stages/ only"
done
for header in engine/*.h; do
        grep -rnF "\"${header#*/}\"" uring stages tools --include='*.[ch]' && [ ! -e "stages/${header#*/}" ] &&
                [ ! -e "tools/${header#*/}" ] && [ ! -e "uring/${header#*/}" ] && fail "${header#*/} is for engine/ only"
done
# The engine never names a stage that is built in.
grep -rnE '<sluice/stages\.h>' engine --include='*.[ch]' && fail 'engine/ knows the stages'
grep -rniE 'sluice/|\b(stages?|pipelines?)\b' uring --include='*.[ch]' && fail 'uring/ speaks of stages and pipelines'
# Public headers include public ones and libc only.
check engine/include '^sluice/'
for header in engine/include/sluice/*.h; do
        grep -nE '#[[:space:]]*include[[:space:]]*"' "$header" && fail "$header includes a private header"
done

if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
        expected='CMakeLists.txt CMakePresets.json LICENSE README.md bench engine stages tests tools uring'
        found=$(git ls-files | cut -d/ -f1 | grep -v '^\.' | LC_ALL=C sort -u | tr '\n' ' ')
        [ "$found" = "$expected " ] || fail "the top level holds $found, not $expected"
fi
[ "$fails" = 0 ]
