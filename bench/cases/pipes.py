"""Pipe to pipe: what passes bytes on between a program that writes a pipe and one that reads another."""
from harness.case import Case, Goal, Part, Subject

MIB, GIB = 1 << 20, 1 << 30
SINK = '@bare@ read @out@/sink'

CASES = [
    Case(
        name='pipe_to_pipe',
        title='a pipe to a pipe, with a reading sink at the end',
        text='A bare splice loop fills a pipe from page cache, the subject passes the bytes on, a sink reads them all. The two '
             'shell lines that the goals name begin with a program that reads the file itself.',
        group='pipes', input='random', bytes=2 * GIB, quick_bytes=64 * MIB, drivers=True, counts=('@out@/sink',),
        subjects=[
            Subject('sluice', Part(f"@bare@ splice @in@ - | @sluice@ run @driver@ '- | -' | {SINK}"), label="sluice run '- | -'"),
            Subject('bare', Part(f'@bare@ splice @in@ - | @bare@ splice - - | {SINK}'), label='bare splice loop',
                    source='splice(2), F_SETPIPE_SZ 1 MiB'),
            Subject('cat_cat', Part(f'cat @in@ | cat | {SINK}'), label='cat | cat', source='cat(1): copies, 128 KiB at a time'),
            Subject('pv_cat', Part(f'pv -q @in@ | cat | {SINK}'), needs=('pv',), label='pv | cat', source='pv(1): splices unless -C'),
            Subject('pv', Part(f'@bare@ splice @in@ - | pv -q | {SINK}'), needs=('pv',), label='pv', source='pv(1): splices unless -C'),
            Subject('cat', Part(f'@bare@ splice @in@ - | cat | {SINK}'), source='cat(1)', optional=True),
            Subject('mbuffer', Part(f'@bare@ splice @in@ - | mbuffer -q -m 64M | {SINK}'), needs=('mbuffer',),
                    source='mbuffer(1): -m, the size of its buffer', optional=True),
        ],
        goals=[Goal('gib_per_s', to=('cat_cat',), at_least=10), Goal('gib_per_s', to=('pv_cat',), at_least=5),
               Goal('cpu_s_per_gib', to=('bare',), at_most=1.1, words='CPU of the whole')],
    ),
]
