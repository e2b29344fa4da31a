"""The format of a case: what is run, how it is checked, which ratios it must reach.

A file of bench/cases/ is a Python module with a list CASES of Case. The harness runs the subjects of a case in rounds: every
round has each subject once, in an order that is shuffled anew, so that pairs of a round share their minute. It adds to every
case, by itself:

    NAME again        the main subject once more: the A/A pair, the noise
    NAME inline ...   the main subject by each forced driver, where the case says drivers=True: @driver@ in its command is
                      replaced by --driver=inline, ring, copy; it is --driver=auto in the main subject itself
    nothing           `true`, started and waited for: the null case, the harness alone

A smallest case:

    from harness.case import Case, Goal, Part, Subject

    CASES = [Case(
        name='pipe_read', title='a file through a pipe to a reading sink', input='random', bytes=1 << 30, quick_bytes=64 << 20,
        main='sluice',
        counts=('@out@/sink',),
        subjects=[
            Subject('sluice', Part(('@sluice@', 'run', '@driver@', 'file:@in@ | @bare@ read @out@/sink'))),
            Subject('pv', Part('pv -q @in@ | @bare@ read @out@/sink'), needs=('pv',), source='pv(1): -q'),
        ],
        goals=[Goal('gib_per_s', to=('pv',), at_least=5)],
    )]

Words between @ are replaced in commands, paths and conditions, also inside other words. An unknown one is an error.

    @sluice@ @bare@ @load@ @BINARY@   programs of build/bin: sluice, sluice-bench-bare, sluice-bench-load; any sluice-bench-X
                                      is @X@ (@start@, @pairs@)
    @in@ @bytes@                      the input file of the case and its size
    @out@                             an empty folder in memory, a new one for each run; for outputs
    @disk@                            the same, on disk
    @port@ @port2@ ... @port9@        TCP ports that are free on 127.0.0.1, new ones for each run
    @files@                           the folder bench/cases/files, where configurations lie. Configurations with words in them
                                      are written to @out@ by `writes`
    @peers@                           where the fetched peers are unpacked (build/bench/peers)
    @cpus@                            how many processors there are
    @driver@                          see above

A command that is a tuple is executed as it is; one that is a string is run by `sh -c`. Peers are found by PATH, in which the
fetched ones come first.

A subject of several parts: they are started in the order given, each when the one before is ready; the clock starts before
the last one, the main part, and stops when it and all parts with end='wait' have ended, with all that they have left behind.
Parts with end='term' are then told to end, outside the clock. CPU is read by part: cpu_s.NAME, cpu_s_per_gib.NAME.

What a run has measured is a dictionary; goals, figures and the report name its keys:

    wall_s gib_per_s                        from the start of the main part to the end; bytes of `bytes`
    cpu_s cpu_s_per_gib                     all parts; with .PART behind it one of them
    machine_cpu_s                           what the whole machine was busy for, softirq included, in ticks of 10 ms
    peak_rss_kib                            of the largest process; with .PART behind it that of one part
    switches_voluntary switches_involuntary
    system_calls                            of another, untimed run under strace -f -c (one for each subject)
    memory_kib                              of another, untimed run: how far the machine's memory outside of the page cache grew
    ...                                     whatever the case's `figures` adds

figures(run) is a function that returns such a dictionary, from run.said(PART) (the text a part with keep=True wrote to its
standard output), run.text(PATH), run.measures (those above), run.bytes. It may replace 'bytes' or 'wall_s' too, where a
program tells better: gib_per_s and cpu_s_per_gib are computed afterwards. 'note' is not a number but words for the report. check(run) raises Wrong('why') when an output is not
what it should be; such a run is never counted. Both may be given to the case or to one subject.

Parts have the limits that the harness was started with: who needs many files says so in a string,
'ulimit -n $(ulimit -Hn); exec ...'. Parts have process groups of their own, and 60 seconds in all.

A load generator that runs for a time, not for bytes, has bytes=None in its case, and figures tell messages_per_s, p99_us ...;
its relay is a part with end='term':

    Subject('haproxy_splice',
            Part('haproxy -db -f @out@/haproxy.cfg', name='relay', ready='tcp:@port@', end='term'),
            Part(('@load@', 'messages', '--to=127.0.0.1:@port@', ...), name='load', keep=True),
            writes={'@out@/haproxy.cfg': HAPROXY_SPLICE}, needs=('haproxy',), source='configuration.txt, tune.pipesize')
"""
from dataclasses import dataclass, field
from typing import Callable, Optional


class Wrong(Exception):
    """An output is not what it should be."""


class Verbatim(str):
    """Text in which @ means nothing: somebody else's."""


@dataclass(frozen=True)
class Part:
    command: object  # a tuple of words, or a string for sh -c
    name: str = 'main'
    ready: str = ''  # 'tcp:PORT': listens on 127.0.0.1; 'path:PATH': is there. Nothing: at once
    end: str = 'wait'  # 'wait': by itself; 'term': SIGTERM when the others have ended
    keep: bool = False  # its standard output is kept for figures and check, in @out@/NAME.said; else it is stdout
    stdin: str = '/dev/null'
    stdout: str = '/dev/null'
    statuses: tuple = (0,)  # exit statuses that are well; 128+N by signal N. Of parts that are told to end: any


class Subject:
    """One way to do what the case is about. Parts: one or several, the main one last."""

    def __init__(self, name, *parts, label='', needs=(), source='', kind='', writes=None, before=None, env=None, counts=None,
                 same=None, figures=None, check=None, optional=False, x=None):
        self.name = name  # a word
        self.label = label or name  # as the tables show it
        self.parts = parts
        self.needs = tuple(needs)  # programs without which it is skipped; tables say which were missing
        self.source = source  # where its configuration is from: man page, section of a manual
        # 'sluice', 'peer', 'bare' (the least a program could do), 'again', 'driver', 'null', 'limit'; for the report's colours
        self.kind = kind or ('sluice' if name.startswith('sluice') else 'bare' if name.startswith('bare') else 'peer')
        self.writes = writes or {}  # files written before each run: path -> text, both with @words@ replaced
        self.before = before  # a Part run before each run, outside the clock; it must end well
        self.env = env or {}
        self.counts, self.same, self.figures, self.check = counts, same, figures, check  # None: the case's
        self.optional = optional  # left out of --quick
        self.x = x  # (name of a curve, position on it), for scaling curves


@dataclass(frozen=True)
class Goal:
    """A ratio that must be reached: `measure` of `of`, divided by that of each of `to`, pair by pair. Against several the one
    that is hardest counts. Without `to` the measure itself is compared."""
    measure: str
    to: tuple = ()
    at_least: Optional[float] = None
    at_most: Optional[float] = None
    of: str = ''  # the case's main subject unless said otherwise
    either: str = ''  # of goals with the same word one is enough
    words: str = ''  # what it means, where the numbers do not say it


@dataclass
class Case:
    name: str  # a word: --only=NAME
    title: str
    subjects: list
    main: str = 'sluice'
    goals: list = field(default_factory=list)
    group: str = ''  # cases with the same group stand together in the report
    input: str = ''  # 'random', 'lines': what @in@ holds; '': there is none
    place: str = 'memory'  # where @in@ lies: 'memory' or 'disk'
    bytes: Optional[int] = None  # of the input, and what GiB/s and CPU s/GiB are computed from
    quick_bytes: Optional[int] = None
    counts: tuple = ()  # files that hold {"bytes": N, ...} as a bare sink writes it: N must be the size of the input
    same: tuple = ()  # files that must be the same as the input, byte for byte
    expect: str = ''  # a shell command whose output, made once from @in@, the files in `same` must equal instead
    figures: Optional[Callable] = None
    check: Optional[Callable] = None
    drivers: bool = False  # see above
    show: tuple = ('gib_per_s', 'cpu_s_per_gib')  # columns of the table, in this order; the second one is optional
    rounds: Optional[int] = None  # instead of the run's own number
    pause_s: float = 0  # let the machine settle between runs
    text: str = ''  # a sentence or two for the report
    x: tuple = ()  # (name of a picture, position on it): cases of a picture become one curve for each subject
