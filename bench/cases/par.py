"""Copies of a command at work side by side: how far that scales on this machine."""
import os

from harness.case import Case, Part, Subject

MIB = 1 << 20
CPUS = os.cpu_count() or 1
# 1, 2, 4, ... and all of them; one more than all shows that nothing is to be had there.
POINTS = sorted({n for n in (1, 2, 3, 4, 8, 16, 32, 64) if n < CPUS} | {CPUS, CPUS + 1})

SUBJECTS = []
for n in POINTS:
    more = n not in (1, CPUS)
    SUBJECTS += [
        Subject(f'sluice_{n}', Part(('@sluice@', 'run', f'file:@in@ | par({n}, gzip -c) | file:@out@/gz')), label=f'par({n}, gzip)',
                x=('sluice par(n, gzip)', n), optional=more),
        Subject(f'pigz_{n}', Part(f'exec pigz -p {n} -b 1024 -c @in@ > @out@/gz'), label=f'pigz -p {n}', needs=('pigz',), x=('pigz', n),
                source='pigz(1): -p, -b', optional=more),
        Subject(f'parallel_{n}', Part(f'parallel --will-cite --pipe --block 1M -j {n} -k gzip -c < @in@ > @out@/gz'), needs=('parallel',),
                label=f'parallel -j {n}', x=('parallel --pipe', n), source='parallel(1): --pipe --block -j -k', optional=True),
    ]


def unpacked_is_the_input(run):
    import subprocess
    from harness.case import Wrong
    if subprocess.run(['sh', '-c', run.path('gzip -dc @out@/gz | cmp -s - @in@')]).returncode:
        raise Wrong('unpacked again it differs from the input')


CASES = [
    Case(name='par_gzip', title='lines to gzip, n at once', group='scaling', input='lines', bytes=64 * MIB, quick_bytes=4 * MIB,
         main=f'sluice_{CPUS}', rounds=6, subjects=SUBJECTS, check=unpacked_is_the_input),
]
