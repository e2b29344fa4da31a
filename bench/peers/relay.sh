#!/usr/bin/env bash
# bench/peers/relay.sh PEER LISTEN_PORT TARGET_PORT [THREADS]: becomes that relay, from 127.0.0.1:LISTEN_PORT to
# 127.0.0.1:TARGET_PORT, in the foreground, until it is ended by TERM. THREADS is 1 if not given; socat has none, it
# starts a process for each connection.
#
#   haproxy-plain haproxy-splice haproxy-copy nginx-stream   their configuration lies beside this file, with its sources
#   socat                                                    its options are below
#
# PEERS is a folder of packages unpacked by dpkg -x; what is not there is taken from PATH. `relay.sh packages` prints the names
# of the Debian packages that all of them need beyond a base system.
#
# Sources for socat: socat(1), OPTIONS (-b: block of a transfer), TCP-LISTEN (reuseaddr, fork), option groups LISTEN (backlog)
# and TCP (nodelay).
set -eu
here=$(cd "$(dirname "$0")" && pwd)

usage()
{
        sed -n '2,4s/^# //p' "$0" >&2
        exit 2
}

[ "${1-}" = packages ] && {
        echo haproxy liblua5.3-0 libopentracing-c-wrapper0 libopentracing1 nginx libnginx-mod-stream socat
        exit
}
[ $# = 3 ] || [ $# = 4 ] || usage
peer=$1 listen=$2 target=$3 threads=${4-1}
for number in "$listen" "$target" "$threads"; do
        case $number in '' | *[!0-9]*) usage ;; esac
done

# find_program NAME: sets $program, and where the loader finds what was unpacked with it.
find_program()
{
        local folder libraries

        for folder in ${PEERS:+"$PEERS/usr/sbin" "$PEERS/usr/bin"}; do
                [ -x "$folder/$1" ] || continue
                program=$folder/$1
                for libraries in "$PEERS"/usr/lib/*-linux-gnu* "$PEERS"/lib/*-linux-gnu*; do
                        [ -d "$libraries" ] && LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$libraries
                done
                export LD_LIBRARY_PATH
                return
        done
        program=$(PATH=$PATH:/usr/sbin:/sbin command -v "$1") || {
                echo "relay.sh: no $1: neither in PEERS=${PEERS-} nor in PATH; unpack its package there" >&2
                exit 127
        }
}

# As many connections as the limit of open files lets a relay have, two for each, and some pipes.
files=$(ulimit -Hn)
[ "$files" = unlimited ] && files=1048576
ulimit -n "$files"
pipes=$((files / 40))
connections=$(((files - 2 * pipes - 200) / 2))

# The configuration, filled in, as fd 3 of a file that has no name any more.
configuration()
{
        local file modules=/usr/lib/nginx/modules run=${TMPDIR:-/tmp}

        [ -d "${PEERS-}/usr/lib/nginx/modules" ] && modules=$(cd "$PEERS/usr/lib/nginx/modules" && pwd)
        [ -w "${PEERS-}" ] && run=$(cd "$PEERS" && pwd)
        file=$(mktemp)
        sed -e "s|@LISTEN_PORT@|$listen|g; s|@TARGET_PORT@|$target|g; s|@THREADS@|$threads|g; s|@FILES@|$files|g" \
                -e "s|@PIPES@|$pipes|g; s|@CONNECTIONS@|$connections|g; s|@MODULES@|$modules|g; s|@RUN@|$run|g" "$1" >"$file"
        exec 3<"$file"
        rm "$file"
}

case $peer in
haproxy-plain | haproxy-splice | haproxy-copy)
        find_program haproxy
        configuration "$here/$peer.cfg"
        exec "$program" -db -f /dev/fd/3
        ;;
nginx-stream)
        find_program nginx
        configuration "$here/nginx-stream.conf"
        exec "$program" -e stderr -p / -c /dev/fd/3
        ;;
socat)
        find_program socat
        exec "$program" -b 262144 "TCP-LISTEN:$listen,bind=127.0.0.1,reuseaddr,fork,backlog=4096,nodelay" \
                "TCP:127.0.0.1:$target,nodelay"
        ;;
*)
        usage
        ;;
esac
