#!/usr/bin/env bash
# unix_sockets_are_spared.sh: unix-listen: takes the place of a dead socket only: a plain file stays, and a live listener
# keeps its socket and its one connection.
. "$(dirname "$0")/lib.sh"

printf 'precious\n' >file
expect_status 1 "$SLUICE" run 'unix-listen:file | null:'
grep -q precious file || fail 'a plain file was removed'

printf 'payload\n' >in
start_unix_listener "$PWD/live" "unix-listen:$PWD/live | file:got"
expect_status 1 "$SLUICE" run "unix-listen:$PWD/live | null:"
expect_stderr 1 'Address already in use'
expect_status 0 "$SLUICE" run "file:in | unix:$PWD/live"
end_listener
expect_same in got

# What a killed listener left behind is replaced.
python3 -c 'import socket, sys; s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1])' "$PWD/dead"
start_unix_listener "$PWD/dead" "unix-listen:$PWD/dead | file:got2"
expect_status 0 "$SLUICE" run "file:in | unix:$PWD/dead"
end_listener
expect_same in got2
[ ! -e dead ] || fail 'the socket file is left behind'
