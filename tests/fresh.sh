#!/usr/bin/env bash
# tests/fresh.sh [demo|test]...: proves that tools/demo and tools/test need nothing but a bare Debian: clones the committed
# tree into a new debootstrap root and runs them there as root. Needs root and debootstrap. Packages come from where this
# machine's apt gets them; nothing is left behind, and nothing mounted: the mounts are a namespace's own and end with it.
set -euo pipefail
source=$(cd "$(dirname "$0")/.." && pwd)
suite=bookworm

if [[ ${1-} != --inside ]]; then
        for word in "$@"; do
                [[ $word == demo || $word == test ]] || { sed -n '2,4s/^# //p' "$0" >&2; exit 2; }
                [[ -x $source/tools/$word ]] || { echo "tests/fresh.sh: there is no tools/$word" >&2; exit 2; }
        done
        ((EUID == 0)) || { echo 'skipped: needs root' >&2; exit 77; }
        command -v debootstrap >/dev/null || { echo 'skipped: no debootstrap' >&2; exit 77; }
        root=$(mktemp -d "${TMPDIR:-/var/tmp}/sluice-fresh.XXXXXX")
        pid=
        trap 'trap - EXIT; [[ -z $pid ]] || { kill -KILL -- "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; }; rm -rf --one-file-system "$root"' EXIT
        trap 'exit 130' INT
        trap 'exit 143' TERM HUP
        # The first process of a PID namespace takes everything started inside with it.
        unshare --mount --propagation private --pid --fork --kill-child "$0" --inside "$root" "${@:-demo}" $(($# == 0)) &
        pid=$!
        status=0
        wait "$pid" || status=$?
        pid=
        exit "$status"
fi
shift

root=$1
shift
both=${!#}
words=("${@:1:$#-1}")
((both)) && words=(demo test)

say()
{
        echo "tests/fresh.sh: $*"
}

# ---- where packages come from: every archive of this suite that apt knows here ----
mapfile -t archives < <(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
        awk -v suite="$suite" '$2 ~ "^" suite "(-updates|-security)?$"' | sort -u)
mirror=
for archive in "${archives[@]}"; do
        read -r uri release component <<<"$archive"
        [[ -z $mirror && $release == "$suite" && $component == main ]] && mirror=$uri
done
[[ $mirror ]] || { echo "skipped: apt here knows no archive of $suite" >&2; exit 77; }

# What apt here uses to reach and trust them.
copy_settings()
{
        local file

        install -d "$root/etc/apt/apt.conf.d" "$root/etc/apt/keyrings" "$root/etc/apt/auth.conf.d" "$root/usr/share/keyrings" "$root/etc/ssl"
        for file in /etc/apt/apt.conf /etc/apt/auth.conf /etc/apt/trusted.gpg; do
                [[ ! -e $file ]] || cp -a "$file" "$root$file"
        done
        for file in apt.conf.d auth.conf.d keyrings trusted.gpg.d; do
                [[ ! -d /etc/apt/$file ]] || cp -aL "/etc/apt/$file/." "$root/etc/apt/$file/"
        done
        cp -aL /usr/share/keyrings/. "$root/usr/share/keyrings/"
        for file in /etc/ssl/certs /usr/share/ca-certificates /usr/local/share/ca-certificates; do
                [[ ! -d $file ]] || { install -d "$root$file" && cp -a "$file/." "$root$file/"; }
        done
        for file in /etc/resolv.conf /etc/hosts; do
                [[ ! -e $file ]] || cp -L "$file" "$root$file"
        done
        # Certificates that settings name.
        while IFS= read -r file; do
                if [[ -f $file && ! -e $root$file ]]; then
                        install -D -m 644 "$file" "$root$file"
                fi
        done < <({ apt-config dump | sed -n 's/^Acquire::.*::\(CaInfo\|SslCert\) "\(.*\)";$/\2/p'; printf '%s\n' "${SSL_CERT_FILE-}" "${CURL_CA_BUNDLE-}"; } | sort -u)
        : >"$root/etc/apt/sources.list"
        for archive in "${archives[@]}"; do
                echo "deb $archive" >>"$root/etc/apt/sources.list"
        done
}

settings=()
while IFS= read -r line; do
        settings+=("$line")
done < <(env | grep -iE '^((https?|ftp|all|no)_proxy|SSL_CERT_(FILE|DIR)|CURL_CA_BUNDLE)=' || true)

inside()
{
        env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb LANG=C.UTF-8 "${settings[@]}" \
                chroot "$root" /bin/bash -c "$1"
}

chmod 755 "$root"        # it is "/" to everybody in there
started=$SECONDS
keyring=()
[[ ! -e /usr/share/keyrings/debian-archive-keyring.gpg ]] || keyring=(--keyring=/usr/share/keyrings/debian-archive-keyring.gpg)
log=$(mktemp)
trap 'rm -f "$log"' EXIT
debootstrap --variant=minbase "${keyring[@]}" "$suite" "$root" "$mirror" >"$log" 2>&1 || { tail -n 20 "$log" >&2; exit 1; }
copy_settings
say "a bare $suite after $((SECONDS - started)) s, $(find "$root/var/lib/dpkg/info" -name '*.list' | wc -l) packages"

mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
mount -t tmpfs -o mode=755 tmpfs "$root/run"

git clone -q --no-hardlinks "$source" "$root/sluice"
failed=0
for word in "${words[@]}"; do
        [[ -x $root/sluice/tools/$word ]] || { say "there is no tools/$word in the committed tree"; failed=1; continue; }
        started=$SECONDS
        if inside "cd /sluice && tools/$word"; then
                say "tools/$word passed after $((SECONDS - started)) s"
        else
                say "tools/$word FAILED after $((SECONDS - started)) s"
                failed=1
        fi
done
exit "$failed"
