"""What this machine can do at all. Measured in every run, and shown beneath every table that has GiB/s."""
from harness.case import Case, Part, Subject

MIB, GIB = 1 << 20, 1 << 30


def iperf3_arrived(run):
    """What the receiver says; also a run's bytes, since iperf3 sends whole buffers."""
    return {'bytes': run.json('main')['end']['sum_received']['bytes']}


CASES = [
    Case(
        name='limits', title='what this machine can do at all', group='limits', input='random', bytes=2 * GIB, quick_bytes=128 * MIB,
        main='memcpy', rounds=6,
        subjects=[
            Subject('memcpy', Part(('@bare@', 'memcpy', '@bytes@')), kind='limit', label='memcpy', source='memcpy(3), 64 MiB regions'),
            Subject('splice', Part(('@bare@', 'splice', '@in@', '/dev/null')), kind='limit', label='bare splice loop to /dev/null',
                    source='splice(2), a pipe of 1 MiB; no byte is looked at'),
            Subject('splice_read', Part('@bare@ splice @in@ - | @bare@ read @out@/sink'), kind='limit', counts=('@out@/sink',),
                    label='bare splice loop to a reader', source='splice(2), a pipe of 1 MiB'),
            Subject('iperf3', Part('iperf3 -s -1 -B 127.0.0.1 -p @port@', name='receive', ready='tcp:@port@'),
                    Part('iperf3 -c 127.0.0.1 -p @port@ -n @bytes@ -J', keep=True), kind='limit', label='iperf3, loopback TCP',
                    needs=('iperf3',), figures=iperf3_arrived, source='iperf3(1): -s -1, -c -n'),
        ],
    ),
]
