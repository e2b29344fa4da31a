#!/usr/bin/env bash
# Promises: a source that cannot be spliced, fails in the middle, shrinks, grows or is overwritten while it is read is
# copied, named, or read as documented; with every driver, and with a command or a function for a neighbour.
. "$(dirname "$0")/../cli/lib.sh"
command -v python3 >/dev/null || skip 'no python3'

make_bytes 3000000 in
drivers='auto inline ring copy'
# What stands between source and sink: nothing, a command, a function.
neighbours=('|' '| cat |' '| lines: |')

for driver in $drivers; do
        for between in "${neighbours[@]}"; do
                run=("$SLUICE" run "--driver=$driver" --grace=50ms)
                # No splice from these. /proc has no sizes, so its files are read to their end.
                expect_status 0 "${run[@]}" "file:/proc/cpuinfo $between file:out"
                [ -s out ] || fail "$driver $between: nothing came from /proc/cpuinfo"
                expect_status 0 "${run[@]}" "file:/proc/filesystems $between file:out"
                expect_same /proc/filesystems out
                expect_status 1 "${run[@]}" "file:/proc $between file:never"
                expect_stderr 1 '^sluice: file:/proc: .*Is a directory'
                [ ! -e never ] || fail "$driver $between: a directory made a sink"
                # EIO in the middle of nowhere: its first page is not there.
                rm -f out
                limited "${run[@]}" "file:/proc/self/mem $between file:out" >"$OUT" 2>"$ERR"
                status=$?
                [ $status = 1 ] || fail "$driver $between: /proc/self/mem: exit status $status: $(cat "$ERR")"
                grep -qE '^sluice: (file:/proc/self/mem|cat): .*(Input/output error|exit status 1)' "$ERR" ||
                        fail "$driver $between: /proc/self/mem: $(cat "$ERR")"
        done

        # What is inherited: a counter that is no stream, a file opened for direct transfers, at odd places and sizes.
        cat >fds.py <<'PY'
import ctypes, os, sys
what, run = sys.argv[1], sys.argv[2:]
if what == 'eventfd':
    fd = ctypes.CDLL(None).eventfd(3, 0o4000)
elif what == 'direct':
    fd = os.open('in', os.O_RDONLY | os.O_DIRECT)
elif what == 'append':
    fd = os.open('out', os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
elif what == 'blocking':
    import socket
    a, b = socket.socketpair()
    if os.fork() == 0:
        a.close()
        b.sendall(open('in', 'rb').read())
        os._exit(0)
    b.close()
    fd = a.detach()
os.dup2(fd, 40)
os.execv(run[0], run)
PY
        # An eventfd gives its eight bytes, and has no end: more is waited for, until the run is ended.
        rm -f out
        python3 fds.py eventfd "${run[@]}" 'fd:40 | file:out' >"$OUT" 2>"$ERR" &
        pid=$!
        until_true test -s out || fail "$driver: nothing came from an eventfd"
        kill -TERM $pid
        wait $pid
        status=$?
        [ $status = 143 ] || fail "$driver: an eventfd as a source: exit status $status: $(cat "$ERR")"
        [ "$(od -An -tu8 out)" -eq 3 ] || fail "$driver: an eventfd gave $(od -An -tx1 out)"
        limited python3 fds.py direct "${run[@]}" 'fd:40 | file:out' >"$OUT" 2>"$ERR" && expect_same in out
        rm -f out
        limited python3 fds.py append "${run[@]}" 'file:in | fd:40' >"$OUT" 2>"$ERR" || fail "$driver: append: $(cat "$ERR")"
        expect_same in out
        rm -f out
        limited python3 fds.py blocking "${run[@]}" 'fd:40 | file:out' >"$OUT" 2>"$ERR" || fail "$driver: blocking socket: $(cat "$ERR")"
        expect_same in out

        # A file that is cut while it is read ends there; with until=size-at-open that is a failure.
        for between in '| throttle:20m |' '| throttle:20m | cat |'; do
                for until in eof size-at-open; do
                        cp in source
                        rm -f out
                        "${run[@]}" "file:source,until=$until $between file:out,observe" 2>"$ERR" &
                        pid=$!
                        until_true test -s out || fail "$driver: nothing came"
                        truncate -s 1000 source
                        wait $pid
                        status=$?
                        size=$(stat -c %s out)
                        cmp -s -n "$size" in out || fail "$driver, $until: a file that was cut: $size bytes, not its beginning"
                        # What was read ahead may have been all of it.
                        [ $until = eof ] && [ $status != 0 ] && fail "$driver: a file that was cut fails: $(cat "$ERR")"
                        [ $until = size-at-open ] && [ $status = 0 ] && [ "$size" != 3000000 ] &&
                                fail "$driver: a file that ended early is a success of $size bytes"
                done
        done
done
true
