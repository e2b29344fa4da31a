"""One run of one subject: everything fresh, the clock and the processors' time by sluice-bench-launch, then the outputs
checked. And the two runs that are not timed: under strace, and with an eye on the machine's memory."""
import filecmp
import json
import os
import re
import shutil
import socket
import subprocess
import threading
import time

from harness.case import Verbatim, Wrong


class Failed(Exception):
    """A run that cannot count: a program failed, was too slow, or gave a wrong output."""


class Run:
    """What figures and checks of a case may look at."""

    def __init__(self, words, measures, bytes_moved):
        self.words, self.measures, self.bytes = words, measures, bytes_moved

    def path(self, text):
        return replace(text, self.words)

    def text(self, path):
        with open(self.path(path), encoding='utf-8', errors='replace') as f:
            return f.read()

    def said(self, part='main'):
        return self.text(f'@out@/{part}.said')

    def json(self, part='main'):
        return json.loads(self.said(part))


def replace(text, words):
    if isinstance(text, Verbatim):
        return str(text)

    def word(found):
        name = found.group(1)
        if name not in words:
            raise KeyError(f'@{name}@ is not a word that cases may use')
        value = words[name]
        return value() if callable(value) else str(value)
    return re.sub(r'@([a-z0-9_]+)@', word, text)


class Ports:
    """Free ones, each once per run. All are taken at once, so that no two are the same."""

    def __init__(self, n=9):
        held = []
        for _ in range(n):
            s = socket.socket()
            s.bind(('127.0.0.1', 0))
            held.append(s)
        self.numbers = [s.getsockname()[1] for s in held]
        for s in held:
            s.close()

    def words(self):
        return {'port' if i == 0 else f'port{i + 1}': str(n) for i, n in enumerate(self.numbers)}


class Place:
    """Where a run of the harness works: programs, folders, and the cgroup it may use."""

    def __init__(self, source, binaries, memory, disk, peers, cgroup, programs=None):
        self.source, self.binaries, self.memory, self.disk, self.peers, self.cgroup = source, binaries, memory, disk, peers, cgroup
        self.programs = programs or {}  # that lie elsewhere
        self.seconds = 60

    def binary(self, name):
        return self.programs.get(name) or os.path.join(self.binaries, 'sluice' if name == 'sluice' else f'sluice-bench-{name}')

    def words(self, input_path, bytes_moved, driver):
        words = {name[len('sluice-bench-'):]: os.path.join(self.binaries, name)
                 for name in os.listdir(self.binaries) if name.startswith('sluice-bench-')}
        words.update(Ports().words())
        words.update({
            'sluice': self.binary('sluice'), 'load': self.binary('load'), 'bare': self.binary('bare'),
            'in': input_path or '', 'bytes': str(bytes_moved or 0), 'out': os.path.join(self.memory, 'out'),
            'disk': os.path.join(self.disk, 'out'), 'files': os.path.join(self.source, 'bench', 'cases', 'files'),
            'peers': self.peers.folder, 'cpus': str(os.cpu_count()), 'driver': f'--driver={driver}',
        })
        return words


def fresh_folders(place):
    for folder in (os.path.join(place.memory, 'out'), os.path.join(place.disk, 'out')):
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)


def argv_of(part, words):
    if isinstance(part.command, str):
        return ['sh', '-c', replace(part.command, words)]
    return [replace(word, words) for word in part.command]


def launch_words(place, parts, words, wrap=None):
    argv = [place.binary('launch'), f'--seconds={place.seconds}']
    if place.cgroup and not wrap:
        argv.append(f'--cgroup={place.cgroup}')
    for i, part in enumerate(parts):
        out = os.path.join(words['out'], f'{part.name}.said') if part.keep else replace(part.stdout, words)
        argv += [f'--part={part.name}', f'--stdin={replace(part.stdin, words)}', f'--stdout={out}',
                 f"--stderr={os.path.join(words['out'], part.name + '.err')}"]
        if part.ready:
            argv.append(f'--ready={replace(part.ready, words)}')
        if part.end == 'term':
            argv.append('--term')
        argv += ['--'] + (wrap(part, words) if wrap else []) + argv_of(part, words) + ['---']
    return argv


def errors_of(parts, words):
    text = []
    for part in parts:
        try:
            with open(os.path.join(words['out'], part.name + '.err'), encoding='utf-8', errors='replace') as f:
                said = f.read().strip()
        except OSError:
            said = ''
        if said:
            text.append(f'{part.name} said: {said[:300]}')
    return '; '.join(text)


def launch(argv, env):
    """What the launcher says. Interrupted it is told to end, and ends what it has started; so nothing is left."""
    process = subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        out, err = process.communicate()
    except BaseException:
        process.terminate()
        process.communicate()
        raise
    return process.returncode, out, err


def start(place, subject, words, summing=False, wrap=None):
    """Runs it, and returns what the launcher says."""
    parts = subject.parts
    env = place.peers.environment()
    env.update({name: replace(value, words) for name, value in subject.env.items()})
    if summing:
        env['SLUICE_BENCH_SUM'] = '1'
    for path, text in subject.writes.items():
        with open(replace(path, words), 'w', encoding='utf-8') as f:
            f.write(replace(text, words))
    if subject.before:
        done = subprocess.run(argv_of(subject.before, words), env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode:
            raise Failed(f'what comes before it failed: {done.stderr.strip()[:300]}')
    status, out, err = launch(launch_words(place, parts, words, wrap), env)
    if status:
        raise Failed(f'{err.strip()[:300]}; {errors_of(parts, words)}')
    told = json.loads(out)
    if told['late']:
        raise Failed(f'not over after {place.seconds} s; {errors_of(parts, words)}')
    for part, end in zip(parts, told['parts']):
        if part.end != 'term' and end['status'] not in part.statuses:
            raise Failed(f"{part.name} ended with {end['status']}; {errors_of(parts, words)}")
    return told


def measures_of(told, bytes_moved):
    parts = {end['name']: end['user_s'] + end['system_s'] for end in told['parts']}
    m = {name: told[name] for name in ('wall_s', 'machine_cpu_s', 'machine_softirq_s', 'peak_rss_kib', 'switches_voluntary',
                                       'switches_involuntary')}
    # Orphans have a cgroup's time counted with the part they come from; rusage knows only that they were.
    rest = told['rest_user_s'] + told['rest_system_s'] if told['cpu_source'] == 'rusage' else 0
    m['cpu_s'] = sum(parts.values()) + rest
    if len(parts) > 1:
        m.update({f'cpu_s.{name}': s for name, s in parts.items()})
        m.update({f"peak_rss_kib.{end['name']}": end['peak_rss_kib'] for end in told['parts']})
    if bytes_moved:
        m['bytes'] = bytes_moved
    return m


def per_gib(m):
    gib = m.get('bytes', 0) / 2 ** 30
    if not gib:
        return m
    m['gib_per_s'] = gib / m['wall_s'] if m['wall_s'] > 0 else None
    for name in [name for name in m if name == 'cpu_s' or name.startswith('cpu_s.')]:
        m['cpu_s_per_gib' + name[len('cpu_s'):]] = m[name] / gib
    m['machine_cpu_s_per_gib'] = m['machine_cpu_s'] / gib
    return m


def check_counts(paths, run, expected_sum, summing):
    for path in paths:
        try:
            seen = json.loads(run.text(path))
        except (OSError, ValueError) as e:
            raise Wrong(f'{path}: no count: {e}')
        if seen['bytes'] != run.bytes:
            raise Wrong(f"{path}: {seen['bytes']} bytes of {run.bytes} arrived")
        if summing and 'sum' in seen and seen['sum'] != expected_sum:
            raise Wrong(f'{path}: {run.bytes} bytes arrived, but not those that were sent')


def check_same(paths, run, expected):
    for path in paths:
        try:
            same = filecmp.cmp(run.path(path), expected, shallow=False)
        except OSError as e:
            raise Wrong(f'{path}: {e.strerror}')
        if not same:
            raise Wrong(f'{path}: differs from what was sent')


def own_or(own, case):
    return case if own is None else own


def expected_file(place, case, made):
    """What the files in `same` must equal: the input, or what a command makes of it, once."""
    if not case.expect:
        return made['path']
    path = made['path'] + '.' + case.name
    if path not in made.setdefault('expected', []):
        words = place.words(made['path'], 0, 'auto')
        with open(path, 'wb') as f:
            subprocess.run(['sh', '-c', replace(case.expect, words)], stdout=f, check=True, env=place.peers.environment())
        made['expected'].append(path)
    return path


def run_once(place, case, subject, made, bytes_moved, driver='auto', summing=False):
    """One run: its measures, and what its figures say in words. Raises Failed."""
    fresh_folders(place)
    words = place.words(made['path'] if made else None, bytes_moved, driver)
    told = start(place, subject, words, summing)
    run = Run(words, measures_of(told, bytes_moved), bytes_moved)
    note = ''
    try:
        check_counts(own_or(subject.counts, case.counts), run, made['sum'] if made else None, summing)
        same = own_or(subject.same, case.same)
        if same:
            check_same(same, run, expected_file(place, case, made))
        figures, check = own_or(subject.figures, case.figures), own_or(subject.check, case.check)
        per_gib(run.measures)
        if check:
            check(run)
        if figures:
            run.measures.update(figures(run))
            note = run.measures.pop('note', '')
            per_gib(run.measures)
    except Wrong as e:
        raise Failed(f'wrong output: {e}; {errors_of(subject.parts, words)}')
    except (OSError, ValueError, KeyError) as e:
        raise Failed(f'its figures cannot be read: {e!r}; {errors_of(subject.parts, words)}')
    if summing:
        run.measures.clear()  # a run that sums takes longer
    return run.measures, note


# ---- not timed ----

def calls_in(text):
    """The total of a table of strace -c: its last line has the calls in the fourth column."""
    for line in text.splitlines():
        fields = line.split()
        if fields and fields[-1] == 'total':
            return int(fields[3])
    return 0


def system_calls(place, case, subject, made, bytes_moved, driver='auto'):
    """All processes' calls, by strace -f -c: of another run, since it makes everything slow. None: it cannot be told."""
    strace = place.peers.find('strace')
    if not strace:
        return None
    fresh_folders(place)
    words = place.words(made['path'] if made else None, bytes_moved, driver)
    counts = []

    def wrap(part, words):
        counts.append(os.path.join(words['out'], f'{part.name}.strace'))
        return [strace, '-f', '-c', '-qq', '-o', counts[-1]]
    try:
        start(place, subject, words, wrap=wrap)
        total = 0
        for path in counts:
            with open(path, encoding='utf-8') as f:
                total += calls_in(f.read())
        return total or None
    except (Failed, OSError, ValueError):
        return None


def memory_outside_cache_kib():
    fields = {}
    with open('/proc/meminfo', encoding='ascii') as f:
        for line in f:
            name, value = line.split(':')
            fields[name] = int(value.split()[0])
    return fields['MemTotal'] - fields['MemFree'] - fields['Buffers'] - fields['Cached'] - fields['SReclaimable']


def memory_growth_kib(place, case, subject, made, bytes_moved, driver='auto'):
    """How far the machine's memory outside of the page cache grew while it ran: RSS knows neither pipes nor socket buffers. Of
    another run, looked at every 5 ms. Anything else that runs is in it too: the null case says how much."""
    fresh_folders(place)
    words = place.words(made['path'] if made else None, bytes_moved, driver)
    before, most, over = memory_outside_cache_kib(), [0], threading.Event()

    def look():
        while not over.is_set():
            most[0] = max(most[0], memory_outside_cache_kib())
            time.sleep(0.005)
    thread = threading.Thread(target=look)
    thread.start()
    try:
        start(place, subject, words)
        return max(0, most[0] - before)
    except Failed:
        return None
    finally:
        over.set()
        thread.join()
