# Promises: a hundred runs, good and bad ones, leave no process, no file, no socket and no System V or shared memory object.
. "$(dirname "$0")/lib.sh"

make_bytes 100000 in
before=$(find /dev/shm /tmp -maxdepth 1 \( -name '*sluice-[0-9]*' -o -name '.*.sluice-*' \) | sort)
for ((i = 0; i < 20; i++)); do
        expect_status 0 "$SLUICE" run 'file:in | cat | file:out,atomic'
        expect_status 0 "$SLUICE" run --driver=copy 'file:in | cat | cat | null:'
        expect_status 1 "$SLUICE" run 'file:missing | cat | file:never,atomic'
        expect_status 9 "$SLUICE" run 'file:in | sh -c "head -c 10; exit 9" | file:never,atomic'
        expect_status 127 "$SLUICE" run 'file:in | cat | no-such-command-here | file:never,atomic'
        process_count 0 || fail "run $i left processes: $(marked_processes)"
done
expect_same in out
[ "$(ls -A | tr '\n' ' ')" = 'in out ' ] || fail "files left: $(ls -A)"
after=$(find /dev/shm /tmp -maxdepth 1 \( -name '*sluice-[0-9]*' -o -name '.*.sluice-*' \) | sort)
[ "$before" = "$after" ] || fail "left elsewhere: $after"
