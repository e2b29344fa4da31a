#!/usr/bin/env bash
# private_files.sh: what sluice makes for itself nobody else may read, and what it makes for others has the mode that was asked
# for: spilled bytes, what is to replace a private file, sockets. Bytes that look like names stay bytes.
. "$(dirname "$0")/lib.sh"

umask 022

# The modes of files without a name in this directory that somebody of this test has open.
nameless_modes()
{
        local pid fd

        for pid in $(marked_processes); do
                for fd in /proc/"$pid"/fd/*; do
                        case $(readlink "$fd") in
                        "$T"/*' (deleted)') stat -L -c %a "$fd" ;;
                        esac
                done
        done 2>/dev/null | sort -u
}

some_nameless()
{
        [ -n "$(nameless_modes)" ]
}

# held PIPELINE: runs it until its ./wait goes on; sets $MODES to those of the nameless files meanwhile.
held()
{
        limited "$SLUICE" run "$1" 2>"$ERR" &
        until_true some_nameless || fail "$1: no file without a name"
        MODES=$(nameless_modes)
        echo >gate
        wait $! || fail "$1: $(cat "$ERR")"
}
mkfifo gate
mkdir spool
cat >wait <<'EOS'
#!/bin/sh
read -r _ <gate
exec cat
EOS
chmod +x wait

held 'generate:8M | spill:spool | ./wait | null:'
[ "$MODES" = 600 ] || fail "spilled bytes have modes $MODES"

echo secret >private
chmod 600 private
held './wait | cat | file:private,atomic'
[ "$MODES" = 600 ] || fail "what replaces a private file has modes $MODES"
[ "$(stat -c %a private)" = 600 ] || fail 'a private file was replaced by one that is not'

# A socket is never wider than asked, whatever the umask; and it is as wide.
for asked in '' ,mode=0660 ,mode=0666; do
        umask "$([ "$asked" ] && echo 077 || echo 0)"
        start_unix_listener "$PWD/socket" "unix-listen:$PWD/socket$asked | null:"
        mode=$(stat -c %a socket)
        [ "$mode" = "$([ "$asked" ] && echo "${asked#,mode=0}" || echo 600)" ] || fail "unix-listen$asked: mode $mode"
        expect_status 0 "$SLUICE" run "echo x | unix:$PWD/socket"
        end_listener
done
umask 022

# Bytes that look like paths and options stay bytes.
printf '../escaped\n/etc/passwd\nfile:owned\n| tee owned\n' >hostile
expect_status 0 "$SLUICE" run 'file:hostile | lines: | count: | file:got'
expect_same hostile got
if [ -e owned ] || [ -e ../escaped ]; then
        fail 'bytes became a path'
fi
