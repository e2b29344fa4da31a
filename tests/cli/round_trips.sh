# Promises: whatever the length, the stages and the driver, what comes out is what went in.
. "$(dirname "$0")/lib.sh"

sizes='0 1 4095 4096 4097 65535 65536 65537 1048577'
[ "$SHORT" ] && sizes='0 1 4097 65536 1048577'
drivers='--driver=auto --driver=inline --driver=ring --driver=copy --no-splice'

check()
{
        expect_same in out
        rm -f out
}

for size in $sizes; do
        make_bytes "$size" in
        for driver in $drivers; do
                limited "$SLUICE" run "$driver" '- | -' <in >out || fail "- | - $driver $size"
                check
                limited cat in | limited "$SLUICE" run "$driver" '- | -' | cat >out
                [ "${PIPESTATUS[*]}" = '0 0 0' ] || fail "pipes around - | - $driver $size: ${PIPESTATUS[*]}"
                check
                expect_status 0 "$SLUICE" run "$driver" 'file:in | file:out'
                check
                expect_status 0 "$SLUICE" run "$driver" 'file:in | cat | file:out'
                check
                start_listener 'tcp-listen:127.0.0.1:PORT | file:out' "$driver" || continue
                expect_status 0 "$SLUICE" run "$driver" "file:in | tcp:127.0.0.1:$PORT"
                end_listener
                check
        done
        for driver in --driver=auto --driver=inline --driver=ring --driver=copy; do
                start_unix_listener "$T/socket" "unix-listen:$T/socket | file:out" "$driver" || continue
                expect_status 0 "$SLUICE" run "$driver" "file:in | unix:$T/socket"
                end_listener
                check
                [ -e "$T/socket" ] && fail 'the listening socket is left' && rm -f "$T/socket"
        done
        # Into processes and out of them through the engine, and the listening side as a source of a command.
        expect_status 0 "$SLUICE" run 'file:in,offset=0,snapshot | cat | cat | file:out,observe'
        check
        start_listener 'tcp-listen:127.0.0.1:PORT | cat | file:out' || continue
        expect_status 0 "$SLUICE" run "file:in | cat | tcp:127.0.0.1:$PORT"
        end_listener
        check
done
