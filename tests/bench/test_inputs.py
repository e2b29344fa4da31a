"""Promises: inputs are the same every time, no two pieces of a random one are alike, and only the last two lie about."""
import os
import tempfile
import unittest

from harness import inputs


class Made(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        bare = os.path.join(self.folder.name, 'bare')
        with open(bare, 'w', encoding='ascii') as f:
            f.write('#!/bin/sh\necho \'{"bytes":1,"sum":"0"}\'\n')
        os.chmod(bare, 0o755)
        self.memory = os.path.join(self.folder.name, 'memory')
        os.mkdir(self.memory)
        self.inputs = inputs.Inputs(self.memory, self.folder.name, bare)

    def read(self, kind, size):
        with open(self.inputs.get(kind, size, 'memory')['path'], 'rb') as f:
            return f.read()

    def test_random(self):
        size = inputs.BLOCK + 200000
        data = self.read('random', size)
        self.assertEqual(len(data), size)
        pieces = [data[at:at + 65536] for at in range(0, size, 65536)]
        self.assertEqual(len(set(pieces)), len(pieces))
        self.assertEqual(self.read('random', 100000), data[:100000])

    def test_lines(self):
        data = self.read('lines', 100001)
        self.assertEqual((len(data), data[-1:]), (100001, b'\n'))
        self.assertIn(b'" 404 ', data)

    def test_the_last_two_are_kept(self):
        for size in (1000, 2000, 3000):
            self.read('random', size)
        self.assertEqual(sorted(os.listdir(self.memory)), ['random-2000', 'random-3000'])

    def test_what_has_no_room_is_halved(self):
        real = inputs.available_bytes
        inputs.available_bytes = lambda: 100 << 20
        try:
            self.assertEqual(self.inputs.fitting(128 << 20, 'memory'), 32 << 20)
            self.assertEqual(self.inputs.fitting(3000, 'memory'), 3000)
        finally:
            inputs.available_bytes = real
