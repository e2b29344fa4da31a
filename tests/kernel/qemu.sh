#!/usr/bin/env bash
# tests/kernel/qemu.sh [OPTION=VALUE]...: runs the tests of a built tree on another kernel, Debian's own, in an emulated machine,
# and says how each ended. README.md holds what it found. Not one of ctest's: it takes an hour, and packages from Debian.
#
#   kernel=PACKAGE|FILE   linux-image-... of this machine's apt, or an image; left out: what linux-image-cloud-amd64 stands for
#   build=DIR             the tree whose tests run; left out: build/ of this one
#   tiers=LIST            of kernel, unit, promise, zoo, cli and fault; left out: kernel,unit,promise
#   backends=LIST         of ring and epoll; left out: both
#   match=REGEX           only tests whose TIER/NAME it finds
#   timeout=SECONDS       for each test; what takes longer runs once more, with ten times of it. Left out: 120
#   memory=MIB            of the machine; left out: 4096
#   nodes=1|2             of NUMA, a processor and half of the memory on each; left out: 1
#   dir=DIR               works there and leaves it: packages are fetched once, console.log stays. Left out: a temporary one
#
# Nothing is installed: what is missing of qemu, cpio and busybox is fetched by apt-get download and unpacked in the directory.
# The commands that tests run are copied from this machine, with the libraries they name.
set -euo pipefail
source=$(cd "$(dirname "$0")/../.." && pwd)
declare -A opt=([kernel]='' [build]=$source/build [tiers]="kernel,unit,promise" [backends]="ring,epoll" [match]=. [timeout]=120
        [memory]=4096 [nodes]=1 [dir]='')

# Whose commands the tests may run; one that is not installed here is left out.
packages=(bash dash coreutils util-linux util-linux-extra mount grep sed mawk findutils diffutils gzip zstd procps perl-base
        hostname login libc-bin python3-minimal python3.11-minimal libpython3.11-minimal libpython3.11-stdlib iproute2 nftables
        socat jq strace bsdutils curl)
# What tests ask of the kernel and Debian's does not hold itself: a disk that fails, two networks, and rules between them.
modules=(fuse veth nf_tables nft_reject_inet nft_numgen)

say()
{
        echo "tests/kernel/qemu.sh: $*"
}

for word in "$@"; do
        [[ $word == *=* && -v opt[${word%%=*}] ]] || { sed -n '2,16s/^# \{0,1\}//p' "$0" >&2; exit 2; }
        opt[${word%%=*}]=${word#*=}
done
build=$(cd "${opt[build]}" && pwd)
[[ -x $build/bin/sluice ]] || { say "$build is not built" >&2; exit 2; }

dir=${opt[dir]}
qemu=
cleanup()
{
        [[ -z $qemu ]] || { kill "$qemu" 2>/dev/null || true; wait "$qemu" 2>/dev/null || true; }
        [[ ${opt[dir]} ]] || rm -rf --one-file-system "$dir"
}
[[ $dir ]] || dir=$(mktemp -d "${TMPDIR:-/var/tmp}/sluice-qemu.XXXXXX")
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
mkdir -p "$dir/debs" "$dir/host"
dir=$(cd "$dir" && pwd)
root=$dir/root

# ---- what this machine lacks: fetched and unpacked, never installed ----
# fetch DIR PACKAGE...: unpacks them into DIR, once.
fetch()
{
        local to=$1 package

        shift
        mkdir -p "$to"
        for package in "$@"; do
                [[ ! -e $dir/debs/$package.done ]] || continue
                (cd "$dir/debs" && rm -f "${package}"_*.deb && apt-get download "$package" >/dev/null 2>&1) ||
                        { say "apt cannot fetch $package" >&2; exit 77; }
                dpkg -x "$dir/debs/${package}"_*.deb "$to"
                touch "$dir/debs/$package.done"
        done
}

# The packages that apt would install to have these.
closure()
{
        apt-get install --simulate --no-install-recommends "$@" 2>/dev/null | awk '/^Inst /{ print $2 }'
}

missing=()
command -v qemu-system-x86_64 >/dev/null || missing+=(qemu-system-x86)
command -v cpio >/dev/null || missing+=(cpio)
[[ $(file -L "$(command -v busybox || true)" 2>/dev/null) == *static* ]] || missing+=(busybox-static)
if ((${#missing[@]})); then
        mapfile -t missing < <(closure "${missing[@]}")
        fetch "$dir/host" "${missing[@]}"
fi
libraries=$dir/host/usr/lib/x86_64-linux-gnu:$dir/host/lib/x86_64-linux-gnu
tool()          # by its name: this machine's, else the unpacked one
{
        local at

        for at in "$(command -v "$1" || true)" "$dir"/host/{usr/bin,bin}/"$1"; do
                [[ ! -x $at ]] || { echo "$at"; return; }
        done
        say "no $1" >&2
        exit 1
}

kernel=${opt[kernel]}
if [[ ! -f $kernel ]]; then
        [[ $kernel ]] || kernel=$(apt-cache depends linux-image-cloud-amd64 | awk '$1 == "Depends:" { print $2; exit }')
        fetch "$dir/kernel/$kernel" "$kernel"
        kernel=$(echo "$dir/kernel/$kernel"/boot/vmlinuz-*)
fi

# module_files NAME...: the files of these and of those that they need, in the order to load them; none of a kernel that is but an image.
modules_of=$(cd "$(dirname "$kernel")/.." && pwd)/lib/modules/${kernel##*/vmlinuz-}
declare -A taken=()
module_files()
{
        local name file

        for name in "$@"; do
                file=$(find "$modules_of" -name "${name//_/[_-]}.ko" -print -quit 2>/dev/null || true)
                [[ $file && ! -v taken[$file] ]] || continue
                taken[$file]=1
                # shellcheck disable=SC2046 # names, and as many as there are
                module_files $(tr '\0' '\n' <"$file" | LC_ALL=C sed -n 's/^depends=//p' | tr ',' ' ')
                echo "$file"
        done
}

# ---- the root of the machine: a cpio archive in memory ----
# A program's libraries go where they are here, under every name on the way.
with_libraries()
{
        { LC_ALL=C xargs -r -d '\n' grep -lsaP '\A\x7fELF' || true; } | { xargs -r -d '\n' -n 200 ldd 2>/dev/null || true; } |
                awk '$2 == "=>" && $3 ~ /^\// { print $3 } $1 ~ /^\// && $1 !~ /:$/ { print $1 }' | sort -u
}

put()           # file names by lines, each with what it leads to
{
        local path

        while IFS= read -r path; do
                echo "$path"
                [[ ! -L $path ]] || realpath "$path"
        done | sort -u | (cd / && cpio --quiet -pdum "$root" 2>/dev/null) || true
}

PATH=$PATH:$dir/host/bin:$dir/host/usr/bin
rm -rf "$root"
mkdir -p "$root"/{proc,sys,dev,run,tmp,etc,root,usr/bin,usr/sbin,usr/lib,usr/lib64,var/tmp}
for name in bin sbin lib lib64; do
        ln -s "usr/$name" "$root/$name"
done
usr()           # this machine may or may not have /bin as a part of /usr: the archive has
{
        sed -E 's,^/(bin|sbin|lib|lib64)/,/usr/\1/,'
}
{ dpkg -L "${packages[@]}" 2>/dev/null || true; } | grep -vE '^/usr/share|^/etc/(rc|init|cron)' | usr | sort -u |
        while IFS= read -r path; do [[ ! -f $path && ! -L $path ]] || echo "$path"; done >"$dir/files"
echo /usr/bin/awk >>"$dir/files"
echo /etc/alternatives/awk >>"$dir/files"
find "$build/tests" -type f -perm -u+x ! -path '*/CMakeFiles/*' >"$dir/tests"
find "$build/tests/object" -type f -name '*.so' >>"$dir/tests"
find "$build/bin" "$build/lib" \( -type f -o -type l \) ! -name '*.a' ! -name 'sluice-bench*' >>"$dir/tests"
find "$build/bin" -name sluice-bench-load >>"$dir/tests" # of fault/
find "$source/tests" "$source/tools" "$source/bench/peers" "$source/README.md" -type f >>"$dir/tests"
put <"$dir/files"
put <"$dir/tests"
cat "$dir/files" "$dir/tests" | with_libraries | usr | put
# What is loaded by name: the library's own needs, and NSS.
find /usr/lib/x86_64-linux-gnu -maxdepth 1 \( -name 'libhwloc.so*' -o -name 'libzstd.so*' -o -name 'libnettle.so*' -o -name 'libnss_files*' \) >"$dir/files"
put <"$dir/files"
with_libraries <"$dir/files" | usr | put
[[ ! -d /usr/lib/locale/C.utf8 ]] || find /usr/lib/locale/C.utf8 -type f | put
mkdir "$root/tree"
mv "$root$build" "$root/tree/build"
mv "$root$source" "$root/tree/source"
# Debug information is most of it; the objects that tests read stay as they are.
find "$root/tree/build/tests" "$root/tree/build/bin" -type f -perm -u+x ! -path '*/object/*' -exec strip --strip-debug {} + 2>/dev/null || true
cp -f "$(tool busybox)" "$root/usr/bin/busybox"
mkdir "$root/modules"
module_files "${modules[@]}" >"$dir/files"
while IFS= read -r path; do
        cp "$path" "$root/modules/"
        echo "/modules/${path##*/}"
done <"$dir/files" >"$root/modules/order"
[[ -e $root/usr/bin/sh ]] || ln -s dash "$root/usr/bin/sh"
printf 'root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1:daemon:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n' >"$root/etc/passwd"
printf 'root:x:0:\ndaemon:x:1:\nnogroup:x:65534:\n' >"$root/etc/group"
printf '127.0.0.1 localhost\n::1 localhost\n' >"$root/etc/hosts"
printf 'passwd: files\ngroup: files\nhosts: files\n' >"$root/etc/nsswitch.conf"
for name in SOURCE="$source" BUILD="$build" TIERS="${opt[tiers]//,/ }" BACKENDS="${opt[backends]//,/ }" MATCH="${opt[match]}" \
        TIMEOUT_S="${opt[timeout]}"; do
        printf '%s=%q\n' "${name%%=*}" "${name#*=}"
done >"$root/job"
install -m 755 "$source/tests/kernel/qemu_init.sh" "$root/init"
ldconfig -r "$root" 2>/dev/null || true
(cd "$root" && find . | cpio --quiet -o -H newc >"$dir/root.cpio")
say "$(basename "$kernel"), $(($(stat -c %s "$dir/root.cpio") >> 20)) MiB of tests and tools"

# ---- the machine: no disk, no network, one console ----
nodes=()
if [[ ${opt[nodes]} == 2 ]]; then
        half=$((opt[memory] / 2))
        for node in 0 1; do
                nodes+=(-object "memory-backend-ram,id=m$node,size=${half}M" -numa "node,nodeid=$node,cpus=$node,memdev=m$node")
        done
fi
started=$SECONDS
LD_LIBRARY_PATH=$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} nice -n 10 "$(tool qemu-system-x86_64)" \
        -L "$dir/host/usr/share/qemu" -L "$dir/host/usr/share/seabios" -L /usr/share/qemu -L /usr/share/seabios \
        -nodefaults -no-user-config -no-reboot -display none -vga none -monitor none -net none \
        -accel tcg,thread=multi -cpu max -smp 2,sockets=2 -m "${opt[memory]}" "${nodes[@]}" -serial "file:$dir/console.log" \
        -kernel "$kernel" -initrd "$dir/root.cpio" -append 'console=ttyS0 panic=-1 quiet loglevel=3 rdinit=/init' &
qemu=$!
wait "$qemu" || { say "qemu ended with $?" >&2; qemu=; tail -n 20 "$dir/console.log" >&2; exit 1; }
qemu=

# ---- how it ended ----
tr -d '\r' <"$dir/console.log" | grep -aE '^(=> |-- |   \| |kernel: |doctor: )' | grep -avE '^=> (\S+) \S+ 0 ' || true
tr -d '\r' <"$dir/console.log" | awk -v took=$((SECONDS - started)) '
        $1 != "=>" { next }
        $2 == "kernel" { kernel = $3; next }
        $2 == "end" { whole = 1; next }
        { ran[$2]++; skipped[$2] += $6 }
        $4 == 0 { passed[$2]++; next }
        $4 == 77 { left_out[$2]++; next }
        $4 == 124 { late[$2]++; next }
        { failed[$2]++; bad = 1 }
        END {
                for (b in ran)
                        printf "%s, %s: %d ran, %d passed, %d failed, %d out of time, %d skipped whole, %d cases skipped in others\n",
                                kernel, b, ran[b], passed[b], failed[b], late[b], left_out[b], skipped[b]
                print "after " took " s" (whole ? "" : ", and the machine did not reach the end")
                exit bad || !whole
        }'
