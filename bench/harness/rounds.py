"""A case, measured: what it is made of (the subjects of its file and those that the harness adds), and its rounds."""
import copy
import random
import time

from harness import measure
from harness.case import Part, Subject

DRIVERS = ('inline', 'ring', 'copy')


class Entry:
    """A subject as it is run: which driver it is told to use, and what it has measured."""

    def __init__(self, subject, driver='auto'):
        self.subject, self.driver = subject, driver
        self.name = subject.name
        self.samples = []  # of each round, None where it failed
        self.failed = self.note = ''
        self.missing = []
        self.system_calls = self.memory_kib = None


def renamed(subject, name, label, kind):
    other = copy.copy(subject)
    other.name, other.label, other.kind = name, label, kind
    return other


def main_of(case):
    for subject in case.subjects:
        if subject.name == case.main:
            return subject
    raise KeyError(f'{case.name}: no subject {case.main}, which is its main one')


def entries_of(case, quick):
    main = main_of(case)
    entries = [Entry(s) for s in case.subjects if not (quick and s.optional)]
    entries.append(Entry(renamed(main, f'{main.name} again', f'{main.label}, again', 'again')))
    named = {g.of for g in case.goals}
    if case.drivers and quick:  # only those that a goal names
        entries += [Entry(renamed(main, f'{main.name} {d}', f'{main.label}, {d}', 'driver'), d) for d in DRIVERS if f'{main.name} {d}' in named]
    elif case.drivers:
        entries += [Entry(renamed(main, f'{main.name} {d}', f'{main.label}, {d}', 'driver'), d) for d in DRIVERS]
    nothing = Subject('nothing', Part(('true',)), label='nothing (harness alone)', kind='null', counts=(), same=())
    nothing.figures = nothing.check = lambda run: {}
    entries.append(Entry(nothing))
    return entries


ROUNDS, QUICK_ROUNDS = 9, 6
SEED = 0x9e3779b9  # of the orders in rounds: always the same, so that a run can be repeated
OVER = 1.2  # of its time a case may take that much before runs which are not timed are left out


class Options:
    def __init__(self, pairs=0, quick=False, budget_s=None, untimed=True, seed=SEED):
        self.pairs, self.quick, self.budget_s, self.untimed, self.seed = pairs, quick, budget_s, untimed, seed

    def rounds_of(self, case):
        """What was asked for; else what the case wants, a fifth of that when it is to be quick."""
        if self.pairs:
            return self.pairs
        if self.quick:
            return max(QUICK_ROUNDS, (case.rounds or 0) // 5)
        return case.rounds or ROUNDS


def run_case(place, inputs, case, options, doing=lambda text: None):
    """Its entries with their samples, and the bytes that one run moved."""
    bytes_moved = (case.quick_bytes or case.bytes) if options.quick else case.bytes
    if case.input:
        bytes_moved = inputs.fitting(bytes_moved, case.place)
    made = inputs.get(case.input, bytes_moved, case.place) if case.input else None
    entries = entries_of(case, options.quick)
    for e in entries:
        e.missing = [name for name in e.subject.needs if not place.peers.find(name)]
    alive = [e for e in entries if not e.missing]
    begun = time.monotonic()

    def once(e, summing=False):
        moved = None if e.subject.kind == 'null' else bytes_moved
        if case.pause_s:
            time.sleep(case.pause_s)
        try:
            measures, note = measure.run_once(place, case, e.subject, made, moved, e.driver, summing)
            e.note = note or e.note
            return measures
        except measure.Failed as why:
            e.failed = ' / '.join(str(why).split('\n'))
            return None

    # A round that warms up, in which sinks sum what they read; what fails here does not go on. One that is quick leaves it out
    # where nothing is summed or compared: its programs are new in every run in any case.
    for e in alive:
        if options.quick and not measure.own_or(e.subject.counts, case.counts) and not measure.own_or(e.subject.same, case.same):
            continue
        doing(f'{e.subject.label}: warming up')
        once(e, summing=True)
    alive = [e for e in alive if not e.failed]
    dice = random.Random(options.seed)
    rounds = options.rounds_of(case)
    done = 0
    for done in range(1, rounds + 1):
        order = list(alive)
        dice.shuffle(order)
        for e in order:
            doing(f'{e.subject.label}: {done}/{rounds}')
            never = e.failed and not any(e.samples)
            e.samples.append(None if never else once(e))
        if options.budget_s is not None and time.monotonic() - begun > options.budget_s:
            break
    alive = [e for e in alive if any(e.samples)]
    if options.untimed:
        for e in alive:
            if options.budget_s is not None and time.monotonic() - begun > options.budget_s * OVER:
                break
            if options.quick and e.subject.kind in ('again', 'driver', 'null'):
                continue
            doing(f'{e.subject.label}: counting system calls, memory')
            moved = None if e.subject.kind == 'null' else bytes_moved
            e.system_calls = measure.system_calls(place, case, e.subject, made, moved, e.driver)
            e.memory_kib = measure.memory_growth_kib(place, case, e.subject, made, moved, e.driver)
    return entries, bytes_moved, done, time.monotonic() - begun
