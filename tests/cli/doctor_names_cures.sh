# Promises: where seccomp refuses io_uring the doctor says so and names a cure, and every pipeline runs all the same; where
# io_uring was asked for by name, it is refused in one line.
. "$(dirname "$0")/lib.sh"
"${REFUSE_RING:?}" /bin/true || skip 'no seccomp filters here'
make_bytes 300000 in

expect_status 1 "$REFUSE_RING" "$SLUICE" doctor
grep -qE '^AMISS +io_uring' "$OUT" || fail "not amiss: $(cat "$OUT")"
grep -qiE '^note +backend +epoll' "$OUT" || fail "no backend: $(cat "$OUT")"
grep -A1 -E '^AMISS +io_uring ' "$OUT" | grep -qE 'cure: .{10}' || fail "no cure: $(cat "$OUT")"
expect_status 1 "$REFUSE_RING" "$SLUICE" doctor --json
if command -v jq >/dev/null; then
        jq -e '.amiss and any(.findings[]; .health == "AMISS" and (.subject | startswith("io_uring")) and (.cure | length > 10)) and
                all(.findings[]; .health != "AMISS" or .cure != "")' "$OUT" >/dev/null || fail "doctor --json: $(cat "$OUT")"
fi
expect_status 0 "$REFUSE_RING" "$SLUICE" --version
expect_status 0 "$REFUSE_RING" "$SLUICE" explain 'file:in | cat | file:out'

expect_status 0 "$REFUSE_RING" "$SLUICE" run 'file:in | cat | file:out'
expect_same in out
rm -f out
expect_status 0 "$REFUSE_RING" "$SLUICE" run 'cat in | cat | file:out'
expect_same in out
rm -f out
expect_status 1 "$REFUSE_RING" "$SLUICE" run 'file:missing | cat | file:out'
expect_stderr 1 '^sluice: file:missing: '

# arrives PIPELINE: all of it, in out.
arrives()
{
        expect_status 0 "$REFUSE_RING" "$SLUICE" run "$1"
        expect_stderr 0
        expect_same in out
        rm -f out
}
arrives 'file:in | file:out'
arrives 'file:in | file:out,atomic'
arrives 'cat in | file:out,observe'
arrives 'file:in | gzip | zcat | file:out,observe'
start_listener 'tcp-listen:127.0.0.1:PORT | file:out' --timeout=20s && {
        expect_status 0 "$REFUSE_RING" "$SLUICE" run "file:in | tcp:127.0.0.1:$PORT"
        end_listener
        expect_same in out
}
true
