# Promises: at a prompt a pipeline is a job like any: keys reach it, Ctrl-C ends it with 130, Ctrl-Z stops it (while it
# starts, too) and fg goes on with it, end of file ends it; and the prompt has its terminal back, as it was.
. "$(dirname "$0")/lib.sh"
python3 -c 'import pty, re, select' 2>/dev/null || skip 'no python3 with pty'

cat >"$ROOT/session.py" <<'PY'
import os, pty, re, select, sys, time

sluice = os.environ['SLUICE']
pid, fd = pty.fork()
if pid == 0:
    os.environ.update(PS1='READY> ', PS2='', TERM='dumb', HISTFILE='/dev/null')
    os.execlp('bash', 'bash', '--norc', '--noprofile', '--noediting', '-i')
seen = ''


def below(of):
    """The process and all that it started, as far as they are still its."""
    return [of] + [p for c in children(of) for p in below(c)]


def wrong(text):
    """Ends the session at the first promise that does not hold: what follows it would only wait. Tells who does what."""
    print(text)
    for p in below(pid):
        try:
            status = dict(l.split(':', 1) for l in open('/proc/%d/status' % p).read().splitlines())
            print('\t'.join([str(p)] + [k + status[k].replace('\t', ' ') for k in
                                        ('Name', 'State', 'PPid', 'SigPnd', 'ShdPnd', 'SigBlk', 'SigIgn', 'SigCgt')]),
                  'pgrp', os.getpgid(p), 'in', open('/proc/%d/wchan' % p).read(), 'does', open('/proc/%d/syscall' % p).read().strip())
        except (OSError, KeyError):
            pass
    try:
        print('the terminal is of', os.tcgetpgrp(fd))
    except OSError:
        pass    # the session is over
    for p in reversed(below(pid)):
        try:
            os.kill(p, 9)
        except OSError:
            pass
    sys.exit(1)


def expect(pattern, what, seconds=20):
    """Reads until the pattern is there; what stands before and in it is used up."""
    global seen
    end = time.monotonic() + seconds
    while True:
        m = re.search(pattern, seen)
        if m:
            before, seen = seen[:m.end()], seen[m.end():]
            return before
        left = end - time.monotonic()
        if left <= 0 or not select.select([fd], [], [], left)[0]:
            wrong('%s: waited for %r, got %r' % (what, pattern, seen[-300:]))
        try:
            seen += os.read(fd, 4096).decode(errors='replace')
        except OSError:
            wrong('%s: the session is over; got %r' % (what, seen[-300:]))


def keys(text):
    os.write(fd, text.encode())


def prompt(what):
    return expect('READY> ', what)


def status(want, what):
    keys('echo "status=$?"\n')
    got = expect(r'status=(\d+)\r\n', what)
    if not got.endswith('status=%d\r\n' % want):
        wrong('%s: %s, not %d' % (what, got[-12:].strip(), want))
    prompt(what)


def children(of):
    try:
        return [int(p) for t in os.listdir('/proc/%d/task' % of) for p in open('/proc/%d/task/%s/children' % (of, t)).read().split()]
    except OSError:
        return []


def commands(job):
    """What the job runs: the children of sluice, or of the guard that it has for them."""
    found = []
    for c in children(job):
        try:
            guard = open('/proc/%d/comm' % c).read().strip() == 'sluice-guard'
        except OSError:
            continue
        found += children(c) if guard else [c]
    return found


def started(count, what):
    """The job under the shell has `count` commands, and they run."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        jobs = children(pid)
        if jobs and len(commands(jobs[-1])) == count:
            names = [os.readlink('/proc/%d/exe' % c) for c in commands(jobs[-1]) if os.path.exists('/proc/%d/exe' % c)]
            if count == len([n for n in names if n != os.path.realpath(sluice)]):
                return
        time.sleep(0.02)
    wrong('%s: %d commands are not running' % (what, count))


def stopped(what):
    expect(r'Stopped', what)
    prompt(what)


def settled(job):
    """Nothing of the job is stopped, and sluice has taken over the signals: the shell's own child, before it is
    sluice, and a group between the terminal and its SIGCONT lose a key."""
    for p in [job] + commands(job):
        text = open('/proc/%d/status' % p).read()
        if re.search(r'^State:\s+[Tt]', text, re.M):
            return False
        if p == job and not int(re.search(r'^SigCgt:\s+(\w+)', text, re.M).group(1), 16) & 1 << 19:
            return False
    return os.path.realpath('/proc/%d/exe' % job) == os.path.realpath(sluice)


def foreground(what):
    """The shell has handed the terminal over, and who has it can be asked."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        jobs = children(pid)
        try:
            if jobs and os.tcgetpgrp(fd) != pid and settled(jobs[-1]):
                return
        except OSError:
            pass
        time.sleep(0.01)
    wrong(what + ': the shell keeps the terminal, or the job does not go on')


prompt('start')
keys('stty -g\n')
before = expect(r'[0-9a-f:]{40,}\r\n', 'stty')
prompt('stty')

# name, pipeline, commands; whether it reads the terminal.
for pipeline, count, reads in (('- | cat', 1, True), ('cat', 1, True), ('cat | cat', 2, True), ('- | cat | -', 1, True), ('- | -', 0, True),
                               ('sleep 500 | cat', 2, False), ('zero: | null:', 0, False), ('zero: | cat | null:', 1, False)):
    run = "'%s' run --no-progress '%s'\n" % (sluice, pipeline)

    def begin(what):
        keys(run)
        expect(r'run --no-progress [^\n]*\n', what)
        if reads:
            keys('one\n')
            expect(r'one\r\none\r\n', what)
        else:
            started(count, what)
            foreground(what)

    if reads:
        what = pipeline + ', end of file'
        begin(what)
        keys('two\n')
        expect(r'two\r\ntwo\r\n', what)
        keys('\x04')
        prompt(what)
        status(0, what)

    what = pipeline + ', Ctrl-C'
    begin(what)
    keys('\x03')
    prompt(what)
    status(130, what)

    what = pipeline + ', Ctrl-Z'
    begin(what)
    keys('\x1a')
    stopped(what)
    keys('fg\n')
    expect(r'run --no-progress [^\n]*\n', what)
    foreground(what)
    if reads:
        keys('three\n')
        expect(r'three\r\nthree\r\n', what + ', fg')
    # Again, and then to its end.
    keys('\x1a')
    stopped(what + ', again')
    keys('fg\n')
    expect(r'run --no-progress [^\n]*\n', what)
    foreground(what)
    if reads:
        keys('four\n')
        expect(r'four\r\nfour\r\n', what + ', fg again')
        keys('\x04')
        prompt(what)
        status(0, what + ', fg, end of file')
    else:
        keys('\x03')
        prompt(what)
        status(130, what + ', fg, Ctrl-C')

# Ctrl-Z at the moment at which the first command has the terminal: the others are still being started.
for round in range(10):
    what = 'Ctrl-Z while it starts, %d' % round
    keys("'%s' run --no-progress 'cat | cat | cat'\n" % sluice)
    end = time.monotonic() + 20
    while os.tcgetpgrp(fd) in [pid] + children(pid):
        if time.monotonic() > end:
            wrong(what + ': the terminal is not handed over')
    keys('\x1a')
    stopped(what)
    keys('fg\n')
    expect(r'run --no-progress [^\n]*\n', what)
    foreground(what)
    keys('one\n')
    expect(r'one\r\none\r\n', what)
    keys('\x04')
    prompt(what)
    status(0, what)

# In the background, and killed by the shell while it is stopped.
keys("'%s' run 'sleep 500 | cat' &\n" % sluice)
prompt('background')
keys('kill %1; wait %1\n')
prompt('kill')
status(143, 'kill %1')
keys("'%s' run 'cat | cat'\n" % sluice)
started(2, 'stopped, kill')
foreground('stopped, kill')
keys('\x1a')
stopped('stopped, kill')
keys('kill %1; fg\n')
expect(r'\n', 'fg')
prompt('stopped, kill')
keys('stty -g\n')
after = expect(r'[0-9a-f:]{40,}\r\n', 'stty')
prompt('stty')
if before.split()[-1] != after.split()[-1]:
    wrong('the terminal is not as it was: %s, %s' % (before.split()[-1], after.split()[-1]))
keys('exit 0\n')
expect('exit', 'exit')
PY
timeout -s KILL 100 python3 "$ROOT/session.py" >"$OUT" 2>"$ERR" || fail "$(cat "$OUT" "$ERR")"
for pid in $([ "$fails" = 0 ] || marked_processes); do
        kill -KILL "$pid" 2>/dev/null        # what a broken session left is told of already
done
