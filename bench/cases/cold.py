"""A file that is not in the page cache: it is dropped before each run (posix_fadvise(2), DONTNEED), and each run checks that it
was. The disk takes part in every figure here."""
from harness.case import Case, Goal, Part, Subject

MIB = 1 << 20
DROP = Part('@bare@ drop @in@')
READ = Part('exec @bare@ receive @port@ @out@/sink', name='receive', ready='tcp:@port@')
SINK = '@bare@ read @out@/sink'

CASES = [
    Case(
        name='cold_to_tcp', title='a file that is not in page cache to TCP, to a sink that reads', group='cold', input='random', place='disk',
        bytes=512 * MIB, quick_bytes=32 * MIB, drivers=True, counts=('@out@/sink',),
        subjects=[
            Subject('sluice', READ, Part(('@sluice@', 'run', '@driver@', 'file:@in@ | tcp:127.0.0.1:@port@'), name='send'), before=DROP,
                    label="sluice run 'file | tcp'"),
            Subject('bare_sendfile', READ, Part(('@bare@', 'send', 'sendfile', '@in@', '@port@'), name='send'), before=DROP,
                    label='bare sendfile loop', source='sendfile(2), 1 MiB at a time'),
            Subject('cat', READ, Part('cat @in@ | exec nc -N 127.0.0.1 @port@', name='send'), before=DROP, needs=('nc',), label='cat | nc',
                    source='cat(1), nc(1) of OpenBSD: -N'),
        ],
        goals=[Goal('gib_per_s', to=('bare_sendfile', 'cat'), at_least=1.0)],
    ),
    Case(
        name='cold_to_pipe', title='a file that is not in page cache to a pipe that is read', group='cold', input='random', place='disk',
        bytes=512 * MIB, quick_bytes=64 * MIB, drivers=True, counts=('@out@/sink',),
        subjects=[
            Subject('sluice', Part(f"@sluice@ run @driver@ 'file:@in@ | -' | {SINK}"), before=DROP, label="sluice run 'file | -'"),
            Subject('cat', Part(f'cat @in@ | {SINK}'), before=DROP, source='cat(1)'),
            Subject('bare', Part(f'@bare@ splice @in@ - | {SINK}'), before=DROP, label='bare splice loop', source='splice(2), 1 MiB'),
        ],
        goals=[Goal('gib_per_s', to=('cat',), at_least=1.0)],
    ),
]
