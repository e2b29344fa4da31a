"""What starting and ending a pipeline of commands costs: they move one line. A program for each; then by the library, from inside
a program that runs already."""
import re

from harness.case import Case, Goal, Part, Subject


def told(run):
    """Of what sluice-bench-start says: its own medians, pair by pair, of rounds that it shuffles itself."""
    text, number = run.said(), r'([0-9.]+)'
    found = {}
    for name, row in (('loop_again', 'bare loop again'), ('library', 'library')):
        ms, ratio = re.search(rf'^{row} .*? {number} ms .*\n +to bare loop: {number} ', text, re.M).groups()
        found.update({f'{name}_ms': float(ms), f'{name}_to_loop': float(ratio)})
    return found


CASES = []
for n in (1, 3, 10):
    cats = 'cat @in@' + ' | cat' * (n - 1)
    CASES.append(Case(
        name=f'start_{n}', title=f"start and end of {n} command{'s' if n > 1 else ''}", group='start', input='lines', bytes=100,
        quick_bytes=100, x=('commands in a row', n), rounds=60, show=('wall_s', 'cpu_s'), same=('@out@/main.said',),
        subjects=[
            Subject('sluice', Part(('@sluice@', 'run', cats), keep=True), label='sluice run, with its guard'),
            Subject('sluice_no_guard', Part(('@sluice@', 'run', '--no-guard', cats), keep=True), label='sluice run --no-guard'),
            Subject('dash', Part(('dash', '-c', cats), keep=True), needs=('dash',), source='dash(1)'),
            Subject('bare', Part(('@bare@', 'spawn', '@in@', str(n), 'cat'), keep=True), label='bare posix_spawn loop',
                    source='posix_spawn(3), pipes of 1 MiB, waitpid(2)'),
        ],
        goals=[Goal('wall_s', to=('dash',), at_most=1.0), Goal('wall_s', to=('bare',), at_most=1.05),
               Goal('wall_s', of='sluice_no_guard', to=('dash',), at_most=1.0),
               Goal('wall_s', of='sluice_no_guard', to=('bare',), at_most=1.05)],
    ))
CASES.append(Case(
    name='start_in_process', title='start and end of 10 commands, from inside a program', group='start',
    main='sluice', show=('library_to_loop', 'library_ms', 'loop_again_to_loop'), rounds=12, figures=told,
    text='sluice-bench-start cats: the library against a posix_spawn loop in the same process; a ratio is the median of eight pairs.',
    subjects=[Subject('sluice', Part(('@start@', 'cats', '8'), keep=True), label='the library')],
    goals=[Goal('library_to_loop', at_most=1.05, words='wall, to the bare posix_spawn loop')],
))
