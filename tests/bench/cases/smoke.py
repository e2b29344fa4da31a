"""Cheap cases for the tests of the harness: one that is right, one with a subject that is wrong, one that fails."""
from harness.case import Case, Goal, Part, Subject

SLUICE = Subject('sluice', Part(('@sluice@', 'run', '@driver@', 'file:@in@ | file:@out@/file')))

CASES = [
    Case(name='right', title='a file to a file', group='smoke', input='random', bytes=100000, same=('@out@/file',), drivers=True,
         subjects=[SLUICE, Subject('cat', Part('cat @in@ > @out@/file'), source='cat(1)'),
                   Subject('served', Part(('@bare@', 'receive-file', '@port@', '@out@/file'), name='receive', ready='tcp:@port@'),
                           Part(('@bare@', 'send', 'sendfile', '@in@', '@port@'), name='send')),
                   Subject('nobody', Part(('there-is-no-such-program',)), needs=('there-is-no-such-program',))],
         goals=[Goal('bytes', to=('cat',), at_least=1), Goal('bytes', to=('cat',), at_least=2),
                Goal('peak_rss_kib', at_most=1000000)]),
    Case(name='wrong', title='one that loses the last byte', group='smoke', input='random', bytes=100000, same=('@out@/file',),
         subjects=[SLUICE, Subject('short', Part('head -c 99999 @in@ > @out@/file'))]),
    Case(name='order', title='one that changes the order', group='smoke', input='random', bytes=1 << 17, counts=('@out@/sink',),
         subjects=[Subject('sluice', Part("@sluice@ run 'file:@in@ | -' | @bare@ read @out@/sink")),
                   Subject('turned', Part('{ tail -c 65536 @in@; head -c 65536 @in@; } | @bare@ read @out@/sink'))]),
    Case(name='fails', title='one that fails, one that leaves somebody behind', group='smoke', input='random', bytes=1000, counts=(),
         subjects=[SLUICE, Subject('failing', Part('exit 3')), Subject('forking', Part('sleep 0.2 & exit 0'))]),
]
