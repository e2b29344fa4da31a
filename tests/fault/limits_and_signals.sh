#!/usr/bin/env bash
# Promises: what a process is not given (descriptors, locked memory, threads, room in a file), a signal that stops it, and
# a system call that is interrupted or has nothing for now, change no byte: the run succeeds, or fails with the cause.
. "$(dirname "$0")/../cli/lib.sh"

make_bytes 3000000 in
drivers='auto inline ring copy'

# whole WHAT CMD...: succeeds, and the output is the input.
whole()
{
        local what=$1

        shift
        rm -f out
        expect_status 0 "$@"
        expect_same in out
        [ "$fails" = 0 ] || echo "  ($what)" >&2
}

# whole_or REGEX CMD...: succeeds with everything, or fails with one line that says why; never anything else.
whole_or()
{
        local regex=$1

        shift
        rm -f out
        limited "$@" >"$OUT" 2>"$ERR"
        STATUS=$?
        if [ $STATUS = 0 ]; then
                expect_same in out
        else
                [ $STATUS -lt 128 ] || fail "$*: exit status $STATUS: $(cat "$ERR")"
                grep -qE "$regex" "$ERR" || fail "$*: status $STATUS, and says: $(cat "$ERR")"
        fi
}

# ---- EMFILE: from a limit at which nothing works to one at which everything does ----
worked=0
for ((nofile = 4; nofile <= 40; nofile += 2)); do
        for pipeline in 'file:in | file:out' 'file:in | cat | file:out,observe' 'cat in | tee(file:out, null:)'; do
                whole_or 'Too many open files|cannot|No file descriptors' bash -c "ulimit -n $nofile; exec \"\$0\" run '$pipeline'" "$SLUICE"
                worked=$((worked + (STATUS == 0)))
        done
done
[ $worked -ge 3 ] || fail "only $worked runs succeed with up to 40 descriptors"

# ---- EFBIG: a limit on the size of files; the sink is named, and holds what fits ----
for driver in $drivers; do
        rm -f out
        expect_status 1 bash -c 'ulimit -f 64; trap "" XFSZ; exec "$0" run "$1" "file:in | file:out"' "$SLUICE" "--driver=$driver"
        expect_stderr 1 '^sluice: file:out: .*File too large'
        [ "$(stat -c %s out)" = 65536 ] || fail "$driver: $(stat -c %s out) bytes in a file of at most 65536"
        cmp -s -n 65536 in out || fail "$driver: what fits is not the beginning"
done

# ---- no locked memory, no further thread: as a user of its own, whom these limits bind ----
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
        user=$((55321 + RANDOM % 1000))
        as_user=(setpriv "--reuid=$user" "--regid=$user" --clear-groups --inh-caps=-all --bounding-set=-all)
        cp "$SLUICE" "$ROOT/sluice" && chmod 755 "$ROOT/sluice"
        [ -x "$(dirname "$SLUICE")/sluice-guard" ] && cp "$(dirname "$SLUICE")/sluice-guard" "$ROOT/"
        chmod 777 "$T" && chmod 644 in
        # Nothing is tried for ever for want of a thread: a limit at which none can be made has words.
        no_thread='temporarily unavailable|no thread can be made|not permitted|Cannot allocate'
        for driver in $drivers; do
                whole_or 'Cannot allocate memory|not permitted' "${as_user[@]}" bash -c \
                        'ulimit -l 0; exec "$0" run "$1" "file:in | cat | file:out,observe"' "$ROOT/sluice" "--driver=$driver"
                rm -f out
                [ "$SANITIZE" ] && continue # which needs a thread of its own, at the end for the leaks
                for nproc in 1 2 3 5; do
                        whole_or "$no_thread" "${as_user[@]}" bash -c \
                                "ulimit -u $nproc; exec \"\$0\" run \"\$1\" 'file:in | file:out'" "$ROOT/sluice" "--driver=$driver"
                        rm -f out
                        whole_or "$no_thread" "${as_user[@]}" bash -c \
                                "ulimit -u $nproc; exec \"\$0\" run \"\$1\" 'file:in | cat | file:out,observe'" "$ROOT/sluice" "--driver=$driver"
                        rm -f out
                done
        done
else
        echo 'without limits of another user: not root, or no setpriv' >&2
fi

# ---- SIGSTOP and SIGCONT, of the engine and of a command, many times while bytes move ----
for driver in $drivers; do
        rm -f out
        "$SLUICE" run "--driver=$driver" 'file:in | throttle:20m | cat | file:out,observe' 2>"$ERR" &
        pid=$!
        for ((i = 0; i < 8; i++)); do
                kill -STOP $pid 2>/dev/null || break
                pause
                kill -CONT $pid 2>/dev/null
                pause
        done
        wait $pid || fail "$driver: stopped and continued, it fails: $(cat "$ERR")"
        expect_same in out
done

# ---- injected: a call that has nothing for now, is interrupted, or is said to be unknown ----
if command -v strace >/dev/null && [ -z "$SANITIZE" ] && strace -o /dev/null true 2>/dev/null; then
        for error in EAGAIN EINTR; do
                for call in splice tee poll ppoll epoll_wait epoll_pwait io_uring_enter read write; do
                        # By epoll threads wake the loop through an eventfd, whose EAGAIN says that it is full, and so awake.
                        [ "$error $call ${SLUICE_BACKEND-}" = 'EAGAIN write epoll' ] && continue
                        # Every third call from the fifth on: not so often that nothing can go on.
                        whole "$error from $call" strace -f -qq -o /dev/null -e "trace=$call" \
                                -e "inject=$call:error=$error:when=5+3" "$SLUICE" run 'file:in | count: | file:out'
                        whole "$error from $call" strace -qq -o /dev/null -e "trace=$call" \
                                -e "inject=$call:error=$error:when=5+3" "$SLUICE" run --driver=inline 'file:in | file:out'
                done
        done
        for call in pipe2 io_uring_setup; do
                whole_or '^sluice: ' strace -f -qq -o /dev/null -e "trace=$call" -e "inject=$call:error=EMFILE" \
                        "$SLUICE" run 'file:in | cat | cat | file:out,observe'
        done
else
        echo 'without injected errors: no strace, or a sanitized build' >&2
fi
