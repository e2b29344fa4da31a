"""File to TCP, and TCP to file, over loopback. The CPU of both ends is in cpu_s; that of one in cpu_s.send, cpu_s.receive."""
from harness.case import Case, Goal, Part, Subject, Wrong

MIB, GIB = 1 << 20, 1 << 30

DISCARD = Part('exec @bare@ discard @port@ @out@/sink', name='receive', ready='tcp:@port@')
READ = Part('exec @bare@ receive @port@ @out@/sink', name='receive', ready='tcp:@port@')
TO_FILE = Part('exec @bare@ receive-file @port@ @out@/file', name='receive', ready='tcp:@port@')
SENDFILE = Part(('@bare@', 'send', 'sendfile', '@in@', '@port@'), name='send')
SLUICE = Part(('@sluice@', 'run', '--json', '@driver@', 'file:@in@ | tcp:127.0.0.1:@port@'), name='send', keep=True)


def driver_and_why(run):
    """Which driver moved it, as the run itself says."""
    link = run.json('send')['links'][0]
    return {'note': f"driver {link['driver']}: {link['why']}"}


def senders(receiver):
    return [
        Subject('sluice', receiver, SLUICE, label="sluice run 'file | tcp'", figures=driver_and_why),
        Subject('bare_sendfile', receiver, SENDFILE, label='bare sendfile loop', source='sendfile(2), 1 MiB at a time'),
        Subject('bare_splice', receiver, Part(('@bare@', 'send', 'splice', '@in@', '@port@'), name='send'), label='bare splice loop',
                source='splice(2), a pipe of 1 MiB', optional=True),
        Subject('bare_copy', receiver, Part(('@bare@', 'send', 'copy', '@in@', '@port@'), name='send'), label='bare read and write loop',
                source='read(2), write(2), 256 KiB at a time'),
    ]


def iperf3_arrived(run):
    """Its client ends the test when it has written all; what its server has read by then is what counts."""
    arrived = run.json('send')['end']['sum_received']['bytes']
    if not run.bytes * 0.8 < arrived:
        raise Wrong(f'{arrived} bytes of {run.bytes} arrived')
    return {'bytes': arrived, 'wall_s': run.json('send')['end']['sum_received']['seconds']}


def iperf3(name, label, words, source):
    return Subject(name, Part('exec iperf3 -s -1 -B 127.0.0.1 -p @port@', name='receive', ready='tcp:@port@'),
                   Part(f'exec iperf3 -c 127.0.0.1 -p @port@ -n @bytes@ -J{words}', name='send', keep=True), label=label, needs=('iperf3',),
                   source=source, counts=(), figures=iperf3_arrived)


# A document root is a folder: the input's own. daemon off keeps it where its end can be seen. (ngx_core_module, ngx_http_core_module)
NGINX = """daemon off; master_process off; worker_processes 1; pid @out@/nginx.pid; error_log @out@/nginx.log;
events { worker_connections 64; }
http {
    access_log off; sendfile on; tcp_nopush on; sendfile_max_chunk 0;
    client_body_temp_path @out@/1; proxy_temp_path @out@/2; fastcgi_temp_path @out@/3; uwsgi_temp_path @out@/4; scgi_temp_path @out@/5;
    server { listen 127.0.0.1:@port@; location = /file { alias @in@; } }
}
"""
PEERS = [
    iperf3('iperf3', 'iperf3', '', 'iperf3(1): -s -1, -c -n; blocks of 128 KiB; its own reading sink'),
    iperf3('iperf3_z', 'iperf3 -Z', ' -Z', 'iperf3(1): -Z, sendfile'),
    Subject('socat', READ, Part('exec socat -u -b 262144 OPEN:@in@,rdonly TCP:127.0.0.1:@port@', name='send'), needs=('socat',),
            label='socat -b 256k', source='socat(1): -b, -u'),
    Subject('nc', READ, Part('exec nc -N 127.0.0.1 @port@ < @in@', name='send'), needs=('nc',), source='nc(1) of OpenBSD: -N'),
    Subject('nginx', Part('exec nginx -c @out@/nginx.conf -e @out@/nginx.log', name='send', ready='tcp:@port@', end='term'),
            Part(('@bare@', 'fetch', '@port@', '/file', '@out@/sink'), name='receive'), needs=('nginx',), writes={'@out@/nginx.conf': NGINX},
            label='nginx sendfile', source='nginx.org, ngx_http_core_module: sendfile, tcp_nopush, sendfile_max_chunk', optional=True),
]
BEST = ('iperf3', 'iperf3_z', 'socat', 'nc', 'nginx')
COLUMNS = ('gib_per_s', 'cpu_s_per_gib', 'cpu_s_per_gib.send')

CASES = [
    Case(
        name='file_to_tcp_discard', title='a file in page cache to TCP, to a sink that discards', group='tcp', input='random',
        bytes=2 * GIB, quick_bytes=64 * MIB, drivers=True, counts=('@out@/sink',), show=COLUMNS, subjects=senders(DISCARD),
        goals=[Goal('gib_per_s', of='sluice ring', to=('bare_sendfile',), at_least=1.2, either='speed or CPU'),
               Goal('cpu_s_per_gib', of='sluice inline', to=('bare_sendfile',), at_most=0.9, either='speed or CPU')],
    ),
    Case(
        name='file_to_tcp_read', title='a file in page cache to TCP, to a sink that reads', group='tcp', input='random',
        bytes=2 * GIB, quick_bytes=64 * MIB, drivers=True, counts=('@out@/sink',), show=COLUMNS, subjects=senders(READ) + PEERS,
        goals=[Goal('gib_per_s', to=BEST, at_least=1.1), Goal('cpu_s_per_gib', to=BEST, at_most=1.0, words='CPU of the whole path'),
               Goal('cpu_s_per_gib.send', of='sluice inline', to=('bare_sendfile',), at_most=1.0, words="the sender's CPU, by splice")],
    ),
    Case(
        name='file_to_tcp_file', title='a file in page cache to TCP, to a file in memory', group='tcp', input='random',
        bytes=GIB, quick_bytes=64 * MIB, drivers=True, same=('@out@/file',), show=COLUMNS,
        subjects=senders(TO_FILE) + [
            Subject('sluice_both', Part(('@sluice@', 'run', 'tcp-listen:127.0.0.1:@port@ | file:@out@/file'), name='receive', ready='tcp:@port@'),
                    Part(('@sluice@', 'run', 'file:@in@ | tcp:127.0.0.1:@port@'), name='send'), label='sluice at both ends'),
            Subject('socat', Part('exec socat -u -b 262144 TCP-LISTEN:@port@,bind=127.0.0.1,reuseaddr CREATE:@out@/file', name='receive',
                                  ready='tcp:@port@'),
                    Part('exec socat -u -b 262144 OPEN:@in@,rdonly TCP:127.0.0.1:@port@', name='send'), needs=('socat',),
                    label='socat -b 256k at both ends', source='socat(1): -b, -u'),
            Subject('nc', Part('exec nc -l 127.0.0.1 @port@ > @out@/file', name='receive', ready='tcp:@port@'),
                    Part('exec nc -N 127.0.0.1 @port@ < @in@', name='send'), needs=('nc',), label='nc at both ends',
                    source='nc(1) of OpenBSD: -l, -N', optional=True),
        ],
        goals=[Goal('gib_per_s', to=('socat', 'nc'), at_least=1.1), Goal('cpu_s_per_gib', to=('socat', 'nc'), at_most=1.0),
               Goal('cpu_s_per_gib.send', of='sluice inline', to=('bare_sendfile',), at_most=1.0, words="the sender's CPU, by splice")],
    ),
    Case(
        name='tcp_to_file', title='TCP to a file in memory', group='tcp', input='random', bytes=GIB, quick_bytes=64 * MIB, drivers=True,
        same=('@out@/file',), show=('gib_per_s', 'cpu_s_per_gib', 'cpu_s_per_gib.receive'),
        text='The sender is the bare sendfile loop for all of them.',
        subjects=[
            Subject('sluice', Part(('@sluice@', 'run', '@driver@', 'tcp-listen:127.0.0.1:@port@ | file:@out@/file'), name='receive',
                                   ready='tcp:@port@'), SENDFILE, label="sluice run 'tcp-listen | file'"),
            Subject('bare_copy', TO_FILE, SENDFILE, label='bare read and write loop', source='read(2), write(2), 256 KiB at a time'),
            Subject('socat', Part('exec socat -u -b 262144 TCP-LISTEN:@port@,bind=127.0.0.1,reuseaddr CREATE:@out@/file', name='receive',
                                  ready='tcp:@port@'), SENDFILE, needs=('socat',), label='socat -b 256k', source='socat(1): -b, -u'),
        ],
        goals=[Goal('wall_s', to=('socat', 'bare_copy'), at_most=0.9)],
    ),
]
