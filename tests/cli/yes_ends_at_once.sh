# Promises: when nobody reads on, who writes is told at once (SIGPIPE), while later commands of the pipeline still run.
. "$(dirname "$0")/lib.sh"

# The last command waits for a FIFO that is opened only after yes has ended.
mkfifo gate
for pipeline in '- | head -1 | sh -c "read line; echo \$line; read x <gate"' \
        '- | cat | head -1 | sh -c "read line; echo \$line; read x <gate"'; do
        {
                limited yes
                echo $? >yes-status
        } | "$SLUICE" run "$pipeline" >"$OUT" 2>"$ERR" &       # nothing around it that would hold the pipe too
        job=$!
        if until_true test -s yes-status; then
                kill -0 "$job" || fail 'the pipeline has ended although its last command waits'
        else
                fail "yes goes on: $pipeline"
        fi
        limited sh -c 'echo now >gate' || kill "$job"
        wait "$job" || fail "$pipeline: exit status $?, $(cat "$ERR")"
        [ "$(cat yes-status)" = 141 ] || fail "yes ended with $(cat yes-status), not by SIGPIPE"
        [ "$(cat "$OUT")" = y ] || fail "the first line is '$(cat "$OUT")'"
        rm -f yes-status
done

# The same for the engine's own links, and for who reads from sluice.
yes | "$SLUICE" run '- | head -1 | sleep 0.3'
[ "${PIPESTATUS[*]}" = '141 0' ] || fail "yes | sluice: ${PIPESTATUS[*]}"
expect_status 0 "$SLUICE" run 'yes | head -1 | null:'
expect_stderr 0 ''
limited "$SLUICE" run 'zero: | head -c 1 | null:' || fail 'zero: does not end when head has'
limited "$SLUICE" run 'yes | -' 2>"$ERR" | head -1 >"$OUT"
[ "${PIPESTATUS[0]}" != 137 ] || fail 'sluice does not end when its reader has'
[ "$(grep -c '' "$ERR")" -le 1 ] || fail "$(cat "$ERR")"
limited "$SLUICE" run --driver=copy 'zero: | -' 2>"$ERR" | head -c 1 >"$OUT"
[ "${PIPESTATUS[0]}" != 137 ] || fail 'sluice does not end when its reader has'
[ "$(grep -c '' "$ERR")" -le 1 ] || fail "$(cat "$ERR")"
