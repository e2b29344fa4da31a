"""Many links on one loop, from inside a program (build/bin/sluice-bench-links)."""
from harness.case import Case, Goal, Part, Subject

MIB = 1 << 20


def told(run):
    return run.json()


CASES = [
    Case(
        name='links_memory', title='memory of 1,000 concurrent links from socket to socket', group='links', rounds=6,
        main='sluice_pipeline', show=('waiting_bytes', 'used_bytes'), figures=told,
        text='Anonymous memory of the process for each link, and pipes that are open: while all wait, and when a message has gone '
             'through each. waiting_pipes and used_pipes are those of all 1,000 together.',
        subjects=[Subject('sluice_pipeline', Part(('@links@', 'memory', 'pipeline', '1000'), keep=True), label='a pipeline for each'),
                  Subject('sluice_transfer', Part(('@links@', 'memory', 'transfer', '1000'), keep=True), label='a transfer for each')],
        goals=[Goal('waiting_bytes', at_most=4096), Goal('used_bytes', at_most=4096),
               Goal('waiting_pipes', at_most=0, words='pipes only where bytes are'),
               Goal('waiting_bytes', of='sluice_transfer', at_most=4096), Goal('used_bytes', of='sluice_transfer', at_most=4096)],
    ),
    Case(
        name='cold_beside_link', title='messages through a link beside another that reads a file which is not in page cache', group='cold',
        input='random', place='disk', bytes=128 * MIB, quick_bytes=64 * MIB, rounds=9, show=('p99_us', 'p50_us'), figures=told,
        text='1,000 messages of 64 bytes, one every 0.2 ms, there through a link of the loop; us for each.',
        subjects=[Subject('sluice', Part(('@links@', 'latency', '1000', '@in@'), keep=True), label='beside a cold file'),
                  Subject('sluice_alone', Part(('@links@', 'latency', '1000'), keep=True), label='alone'),
                  Subject('sluice_warm', Part(('@links@', 'latency', '1000', '@in@'), keep=True), label='beside the file, from page cache',
                          env={'SLUICE_BENCH_WARM': '1'})],
        goals=[Goal('p99_us', to=('sluice_warm',), at_most=1.0, words='the loop waits for no disk: as beside a file that is in memory')],
    ),
]
