"""TCP relays under load. sluice-bench-load plays both ends of every connection, compares what comes through, and says what the
relay's processes and the ends have spent from when all connections were open; starting and opening are in no figure, but in
churn, which is about opening. `bytes` of a case is what the load is told to move: bytes in bulk, else messages."""
import os

from harness.case import Case, Goal, Part, Subject

MIB, GIB = 1 << 20, 1 << 30
# Each configuration lies beside it, with the manual sections that its options are from.
RELAY = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'peers', 'relay.sh')
READY = {'name': 'relay', 'ready': 'tcp:@port@', 'end': 'term'}


def load(*words, relay=True):
    ends = ('--connect=127.0.0.1:@port@', '--listen=127.0.0.1:@port2@', '--relay') if relay else ()
    return Part(('@load@', *words, *ends, '--json'), name='load', keep=True)


def sluice(name, words, *options, **more):
    label = ' '.join(('sluice relay', *options)).replace('@cpus@', 'N')
    return Subject(name, Part(('@sluice@', 'relay', *options, '127.0.0.1:@port@', '127.0.0.1:@port2@'), **READY), load(*words), label=label, **more)


def peer(name, words, file, program, label, threads='@cpus@', **more):
    source = f'bench/peers/{file}' if '.' in file else 'bench/peers/relay.sh'
    return Subject(name, Part((RELAY, file.split('.')[0], '@port@', '@port2@', threads), **READY), load(*words), label=label, needs=(program,),
                   source=source, env={'PEERS': '@peers@'}, **more)


def haproxy(name, words, how, label, **more):
    return peer(name, words, f'haproxy-{how}.cfg', 'haproxy', label, **more)


def direct(words):
    """What the ends alone can do: no relay, so that half of the copies is missing."""
    return Subject('direct', load(*words, relay=False), kind='limit', label='the ends alone, no relay', source='bench/README.md')


def spent(said):
    """What the load tells that replaces what the harness sees, which has the opening in it."""
    relay = said['relay'] or {'cpu_s': 0, 'rss_kib': 0, 'pss_kib': 0, 'switches_voluntary': 0, 'switches_involuntary': 0}
    measures = {
        'wall_s': said['seconds'], 'bytes': said['bytes'], 'cpu_s': said['ends']['cpu_s'] + relay['cpu_s'], 'cpu_s.load': said['ends']['cpu_s'],
        'machine_cpu_s': said['machine']['cpu_s'], 'machine_softirq_s': said['machine']['softirq_s'],
    }
    for name in ('switches_voluntary', 'switches_involuntary'):
        measures[name] = said['ends'][name] + relay[name]
    if said['relay']:
        measures.update({'cpu_s.relay': relay['cpu_s'], 'relay_rss_kib': relay['rss_kib'], 'relay_pss_kib': relay['pss_kib'],
                         'relay_switches': relay['switches_voluntary'] + relay['switches_involuntary']})
    return measures


def bulk(run):
    return spent(run.json('load'))


def messages(run):
    said = run.json('load')
    measures = spent(said)
    late = said['latency_us']
    each = 1e6 / max(1, said['messages'])
    measures.update({'messages_per_s': said['messages_per_s'], 'p50_us': late['p50'], 'p99_us': late['p99'], 'p999_us': late['p99.9'],
                     'cpu_us_per_message': measures['cpu_s'] * each})
    if said['relay']:
        measures['cpu_us_per_message.relay'] = measures['cpu_s.relay'] * each
    return measures


def idle(run):
    said = run.json('load')
    measures = messages(run)
    if said['relay'] and said['idle']:
        grown = said['memory']['open']['pss_kib'] - said['memory']['rest']['pss_kib']
        measures['relay_bytes_per_connection'] = grown * 1024 / (said['connections'] + said['idle'])
        measures['machine_kib_per_connection'] = (said['memory']['rest']['available_kib'] - said['memory']['open']['available_kib']) / (
            said['connections'] + said['idle'])
    return measures


def churn(run):
    measures = messages(run)
    measures['connections_per_s'] = measures.pop('messages_per_s')
    return measures


def bulk_case(connections):
    words = ('bulk', f'--connections={connections}', '--bytes=@bytes@')
    subjects = [
        sluice('sluice', words),
        sluice('sluice_relay_cpu', words, '--prefer=relay-cpu', kind='driver'),
        haproxy('haproxy_splice', words, 'splice', 'HAProxy, splice, 1 MiB pipes'),
        haproxy('haproxy_copy', words, 'copy', 'HAProxy, 256 KiB buffers'),
        peer('nginx', words, 'nginx-stream.conf', 'nginx', 'nginx stream, 256 KiB'),
        peer('socat', words, 'socat', 'socat', 'socat -b 256k'),
        haproxy('haproxy_splice_1', words, 'splice', 'HAProxy, splice, 1 thread', threads='1', optional=True),
        haproxy('haproxy_copy_1', words, 'copy', 'HAProxy, 256 KiB, 1 thread', threads='1', optional=True),
        sluice('sluice_1', words, '--threads=1', optional=True),
        sluice('sluice_inline', words, '--driver=inline', kind='driver', optional=True),
        sluice('sluice_copy', words, '--driver=copy', kind='driver', optional=True),
        direct(words),
    ]
    best = ('haproxy_splice', 'haproxy_copy', 'nginx', 'socat', 'haproxy_splice_1', 'haproxy_copy_1')
    return Case(
        name=f'relay_bulk_{connections}', title=f"a TCP relay, bulk, {connections} connection{'s' if connections > 1 else ''}", group='relay',
        bytes=4 * GIB, quick_bytes=512 * MIB, figures=bulk, subjects=subjects, show=('gib_per_s', 'cpu_s_per_gib', 'cpu_s_per_gib.relay'),
        goals=[Goal('gib_per_s', to=best, at_least=1.2),
               Goal('cpu_s_per_gib.relay', to=best, at_most=0.9, words="the relay's own CPU"),
               Goal('cpu_s_per_gib.relay', of='sluice_relay_cpu', to=best, at_most=0.9, words="the relay's own CPU, when that is what it is to save"),
               Goal('cpu_s_per_gib', to=best, at_most=0.95, words='CPU of the whole path: the relay and both ends')],
    )


def message_case(size, connections, amount):
    words = ('messages', f'--size={size}', f'--connections={connections}', '--messages=@bytes@')
    subjects = [
        sluice('sluice', words),
        haproxy('haproxy', words, 'plain', 'HAProxy'),
        haproxy('haproxy_1', words, 'plain', 'HAProxy, 1 thread', threads='1'),
        haproxy('haproxy_splice', words, 'splice', 'HAProxy, splice, 1 MiB pipes', optional=True),
        peer('nginx', words, 'nginx-stream.conf', 'nginx', 'nginx stream, 256 KiB', optional=True),
        sluice('sluice_1', words, '--threads=1', optional=True),
        direct(words),
    ]
    best = ('haproxy', 'haproxy_1', 'haproxy_splice')
    return Case(
        name=f'relay_messages_{size}_{connections}', title=f"a TCP relay, messages of {size} bytes, {connections} connection{'s' if connections > 1 else ''}",
        group='relay', bytes=amount, quick_bytes=amount // 5, figures=messages, subjects=subjects,
        show=('messages_per_s', 'cpu_us_per_message', 'p99_us', 'cpu_us_per_message.relay'),
        goals=[Goal('messages_per_s', to=best, at_least=1.2), Goal('p99_us', to=best, at_most=0.9)],
        text='A closed loop: each connection sends its next message when the echo of the last is whole.',
    )


IDLE = ('idle', '--connections=100', '--idle=9000', '--messages=@bytes@')
ALONE = ('idle', '--connections=100', '--idle=0', '--messages=@bytes@')
CHURN = ('churn', '--connections=64', '--messages=@bytes@')

CASES = [
    bulk_case(1),
    bulk_case(64),
    *[message_case(size, connections, amount) for size in (64, 4096) for connections, amount in ((1, 40000), (64, 100000), (1000, 100000))],
    Case(
        name='relay_idle', title='a TCP relay, 9,000 idle connections beside 100 busy ones with messages of 4 KiB', group='relay',
        bytes=60000, quick_bytes=12000, figures=idle, show=('relay_rss_kib', 'messages_per_s', 'relay_bytes_per_connection', 'p99_us'),
        subjects=[
            sluice('sluice', IDLE),
            haproxy('haproxy', IDLE, 'plain', 'HAProxy'),
            haproxy('haproxy_1', IDLE, 'plain', 'HAProxy, 1 thread', threads='1', optional=True),
            Subject('sluice_alone', Part(('@sluice@', 'relay', '127.0.0.1:@port@', '127.0.0.1:@port2@'), **READY), load(*ALONE), kind='driver',
                    label='sluice relay, the 100 alone'),
            haproxy('haproxy_alone', ALONE, 'plain', 'HAProxy, the 100 alone', optional=True),
            direct(IDLE),
        ],
        goals=[Goal('relay_rss_kib', to=('haproxy', 'haproxy_1'), at_most=0.5),
               Goal('messages_per_s', to=('sluice_alone',), at_least=0.95, words='as alone')],
    ),
    Case(
        name='relay_churn', title='a TCP relay, connections opened, used once and closed', group='relay', bytes=20000, quick_bytes=4000,
        figures=churn, show=('connections_per_s', 'cpu_us_per_message', 'p99_us', 'cpu_us_per_message.relay'),
        subjects=[
            sluice('sluice', CHURN),
            haproxy('haproxy', CHURN, 'plain', 'HAProxy'),
            haproxy('haproxy_1', CHURN, 'plain', 'HAProxy, 1 thread', threads='1'),
            peer('nginx', CHURN, 'nginx-stream.conf', 'nginx', 'nginx stream, 256 KiB', optional=True),
            direct(CHURN),
        ],
        goals=[Goal('connections_per_s', to=('haproxy', 'haproxy_1'), at_least=1.0)],
    ),
]
