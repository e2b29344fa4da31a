"""File to file."""
from harness.case import Case, Goal, Part, Subject

MIB, GIB = 1 << 20, 1 << 30


def subjects(out):
    return [
        Subject('sluice', Part(('@sluice@', 'run', '@driver@', f'file:@in@ | file:{out}/file')), label="sluice run 'file | file'"),
        Subject('cp', Part(('cp', '@in@', f'{out}/file')), source='cp(1): --reflink=auto is what it does by itself; copy_file_range(2)'),
        Subject('bare_copy', Part(('@bare@', 'copy', '@in@', f'{out}/file')), label='bare read and write loop',
                source='read(2), write(2), 256 KiB at a time'),
        Subject('socat', Part(f'exec socat -u -b 262144 OPEN:@in@,rdonly CREATE:{out}/file'), needs=('socat',), label='socat -b 256k',
                source='socat(1): -b, -u', optional=True),
    ]


GOALS = [Goal('wall_s', to=('cp',), at_most=1.0), Goal('wall_s', to=('bare_copy', 'socat'), at_most=0.9)]

CASES = [
    Case(name='file_to_file', title='a file in memory to a file in memory', group='files', input='random', bytes=GIB,
         quick_bytes=64 * MIB, drivers=True, same=('@out@/file',), subjects=subjects('@out@'), goals=GOALS),
    Case(name='file_to_file_disk', title='a file on disk, in page cache, to a file on disk', group='files', input='random', place='disk',
         bytes=256 * MIB, quick_bytes=64 * MIB, drivers=True, same=('@disk@/file',), subjects=subjects('@disk@'), goals=GOALS,
         text='Neither side syncs: this is the page cache and the file system, not the disk.'),
]
