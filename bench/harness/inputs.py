"""The files that cases read: made once for a run, in memory or on disk, and gone at its end."""
import json
import os
import random
import subprocess

BLOCK = 16 << 20
KEPT = 2
LEAST = 1 << 20


def available_bytes():
    with open('/proc/meminfo', encoding='ascii') as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith('MemAvailable:'))


def lines_block(bytes_wanted):
    """Lines as a web server writes them: they compress about ten times, as logs do. Always the same."""
    dice = random.Random(1)
    out, have = [], 0
    while have < bytes_wanted:
        line = '10.%d.%d.%d - - [24/Nov/2026:%02d:%02d:%02d +0000] "GET /item/%d HTTP/1.1" %d %d "-" "curl/7.88"\n' % (
            dice.randrange(4), dice.randrange(256), dice.randrange(256), dice.randrange(24), dice.randrange(60), dice.randrange(60),
            dice.randrange(1000000), dice.choice((200, 200, 200, 304, 404)), dice.randrange(100000))
        out.append(line)
        have += len(line)
    return ''.join(out).encode()


class Inputs:
    def __init__(self, memory, disk, bare):
        self.folders = {'memory': memory, 'disk': disk}
        self.bare = bare
        self.made = {}
        self.blocks = {}

    def get(self, kind, bytes_wanted, place):
        """The path of such a file and the sum of its bytes. The last few are kept: cases of a group read the same one."""
        key = (kind, bytes_wanted, place)
        if key not in self.made:
            while len(self.made) >= KEPT:
                self._drop(next(iter(self.made)))
            path = os.path.join(self.folders[place], f'{kind}-{bytes_wanted}')
            self._write(path, kind, bytes_wanted)
            self.made[key] = {'path': path, 'sum': json.loads(subprocess.check_output([self.bare, 'sum', path]))['sum']}
        return self.made[key]

    def fitting(self, bytes_wanted, place):
        """As much of it as there is room for, with outputs of the same size beside it: half of it, a quarter, ..."""
        at = os.statvfs(self.folders[place])
        room = at.f_bavail * at.f_frsize + sum(key[1] for key in self.made if key[2] == place)
        if place == 'memory':
            room = min(room, available_bytes())
        while bytes_wanted * 3 > room and bytes_wanted > LEAST:
            bytes_wanted //= 2
        return bytes_wanted

    def _drop(self, key):
        made = self.made.pop(key)
        for path in [made['path']] + made.get('expected', []):
            os.unlink(path)

    def _block(self, kind):
        if kind not in self.blocks:
            self.blocks[kind] = lines_block(BLOCK) if kind == 'lines' else random.Random(2).randbytes(BLOCK)
        return self.blocks[kind]

    def _write(self, path, kind, bytes_wanted):
        block = bytearray(self._block(kind))
        with open(path, 'wb') as f:
            left, number = bytes_wanted, 0
            while left > 0:
                if kind == 'random':  # a number every 64 KiB, so that no two pieces are alike and a lost one shows
                    for at in range(0, BLOCK, 65536):
                        block[at:at + 8] = number.to_bytes(8, 'little')
                        number += 1
                left -= f.write(block[:left])
            if kind == 'lines' and bytes_wanted:
                f.seek(-1, os.SEEK_END)  # the last line has an end, however it was cut
                f.write(b'\n')
