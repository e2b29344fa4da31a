"""One input to several outputs: commands that read all of it, and files."""
from harness.case import Case, Goal, Part, Subject

MIB, GIB = 1 << 20, 1 << 30


def sink(i):
    return f'@bare@ read @out@/sink{i}'


def to_commands(n):
    every = range(n)
    fifos = ' '.join(f'@out@/fifo{i}' for i in every)
    readers = ' '.join(f'{sink(i)} < @out@/fifo{i} &' for i in every)
    commands = ' '.join(f"'{sink(i)}'" for i in every)
    return Case(
        name=f'tee_{n}_commands', title=f'a file in page cache to {n} commands that read it', group='tee', input='random', bytes=GIB // n * 2,
        quick_bytes=128 * MIB // n, x=('outputs: commands', n), counts=tuple(f'@out@/sink{i}' for i in every), drivers=True,
        subjects=[
            Subject('sluice', Part(('@sluice@', 'run', '@driver@', 'file:@in@ | tee(' + ', '.join(f'{sink(i)} | null:' for i in every) + ')')),
                    label="sluice run '... | tee(...)'"),
            Subject('tee', Part(f"mkfifo {fifos}; {readers} tee {' '.join(f'@out@/fifo{i}' for i in range(n - 1))} < @in@ > @out@/fifo{n - 1}; wait"),
                    source='tee(1), named pipes'),
            Subject('pee', Part(f'pee {commands} < @in@'), needs=('pee',), source='pee(1)'),
            Subject('bare', Part(('@bare@', 'tee', '@in@', str(n), '@bare@', 'read', '@out@/sink%')), label='bare tee(2) loop',
                    source='tee(2), splice(2), pipes of 1 MiB'),
        ],
        goals=[Goal('cpu_s_per_gib', to=('tee',), at_most=0.2), Goal('cpu_s_per_gib', to=('bare',), at_most=1.1)],
    )


def to_files(n):
    every = range(n)
    files = [f'@out@/file{i}' for i in every]
    return Case(
        name=f'tee_{n}_files', title=f'a file in page cache to {n} files in memory', group='tee', input='random', bytes=GIB // n,
        quick_bytes=64 * MIB // n, x=('outputs: files', n), same=tuple(files), drivers=True,
        text='The kernel copies every page for every file, whoever asks it to.',
        subjects=[
            Subject('sluice', Part(('@sluice@', 'run', '@driver@', 'file:@in@ | tee(' + ', '.join(f'file:{f}' for f in files) + ')')),
                    label="sluice run '... | tee(...)'"),
            Subject('tee', Part(f"exec tee {' '.join(files[:-1])} < @in@ > {files[-1]}"), source='tee(1)'),
            Subject('pee', Part('pee ' + ' '.join(f"'cat > {f}'" for f in files) + ' < @in@'), needs=('pee',), source='pee(1)', optional=True),
            Subject('bare', Part(('@bare@', 'tee-files', '@in@', *files)), label='bare tee(2) loop',
                    source='tee(2), splice(2), pipes of 1 MiB'),
        ],
        goals=[Goal('cpu_s_per_gib', to=('tee',), at_most=0.2), Goal('cpu_s_per_gib', to=('bare',), at_most=1.1)],
    )


def past_the_cache(n):
    every = range(n)
    files = [f'@disk@/file{i}' for i in every]
    return Case(
        name=f'tee_{n}_direct', title=f'a file in page cache to {n} files on disk, past the page cache', group='tee', input='random', place='disk',
        bytes=512 * MIB, quick_bytes=64 * MIB, x=('outputs: files on disk', n), same=tuple(files), drivers=True,
        text='tee(1) has no such way: its pages are copied, and written to the disk later, in nobody\'s name.',
        subjects=[
            Subject('sluice', Part(('@sluice@', 'run', '@driver@', 'file:@in@ | tee(' + ', '.join(f'file:{f},direct' for f in files) + ')')),
                    label="sluice run '... | tee(file:A,direct, ...)'"),
            Subject('tee', Part(f"exec tee {' '.join(files[:-1])} < @in@ > {files[-1]}"), source='tee(1)'),
            Subject('bare', Part(('@bare@', 'tee-direct', '@in@', *files)), label='bare tee(2) loop, O_DIRECT',
                    source='tee(2), splice(2), open(2): O_DIRECT, pipes of 1 MiB'),
        ],
        goals=[Goal('cpu_s_per_gib', to=('tee',), at_most=0.2), Goal('cpu_s_per_gib', to=('bare',), at_most=1.1)],
    )


CASES = [to_commands(n) for n in (2, 4, 8)] + [to_files(n) for n in (2, 4, 8)] + [past_the_cache(n) for n in (2, 4)]
