"""Command to command to command to file: what a shell does, with larger pipes and nothing in between."""
from harness.case import Case, Goal, Part, Subject

MIB, GIB = 1 << 20, 1 << 30
SH = 'sh(1), pipe(7): pipes of 64 KiB, which no shell has an option for'


def of_shell(text, pipeline, bare=None):
    """The same commands under sh, bash and sluice."""
    subjects = [
        Subject('sluice', Part(('@sluice@', 'run', f'{pipeline} | file:@out@/file')), label='sluice run'),
        Subject('sh', Part(('sh', '-c', f'{text} > @out@/file')), source=SH),
        Subject('bash', Part(('bash', '-c', f'{text} > @out@/file')), needs=('bash',), source=SH, optional=True),
    ]
    return subjects + ([bare] if bare else [])


def filters(name, title, text, pipeline, mib):
    return Case(
        name=name, title=title, group='commands', input='lines', bytes=mib * MIB, quick_bytes=mib * MIB // 16,
        same=('@out@/file',), expect=text, subjects=of_shell(text, pipeline),
        goals=[Goal('gib_per_s', to=('sh',), at_least=1.0, words='never slower')],
    )


CASES = [
    Case(
        name='three_cats', title='cat to cat to cat to a file', group='commands', input='random', bytes=GIB, quick_bytes=64 * MIB,
        same=('@out@/file',),
        subjects=of_shell('cat @in@ | cat | cat', 'cat @in@ | cat | cat',
                          Subject('bare', Part('@bare@ spawn @in@ 3 cat > @out@/file'), label='bare posix_spawn loop, 1 MiB pipes',
                                  source='posix_spawn(3), F_SETPIPE_SZ')),
        goals=[Goal('gib_per_s', to=('sh',), at_least=3), Goal('cpu_s_per_gib', to=('sh',), at_most=0.6)],
    ),
    filters('filter_zstd', 'a file through cat, zstd -3, cat to a file', 'cat @in@ | zstd -q -3 -c | cat', 'cat @in@ | zstd -q -3 -c | cat', 256),
    filters('filter_grep', 'a file through cat, grep, cat to a file', "cat @in@ | grep -F ' 404 ' | cat", "cat @in@ | grep -F ' 404 ' | cat", 512),
    filters('filter_sort', 'a file through grep, sort, zstd to a file', "grep -F ' 404 ' @in@ | sort -S 64M | zstd -q -1 -c",
            "grep -F ' 404 ' @in@ | sort -S 64M | zstd -q -1 -c", 256),
]
