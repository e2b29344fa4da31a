"""Promises: every case of bench/cases can be run as it is written: its words are known, its goals name what is there, and each
peer says where its command is from."""
import os
import re
import unittest

from harness import load, measure, rounds

CASES = load.cases(os.path.join(os.environ['SOURCE'], 'bench', 'cases'))
WORDS = {'in', 'bytes', 'out', 'disk', 'files', 'peers', 'cpus', 'driver', 'sluice', 'bare', 'load', 'start', 'pairs', 'links'}
WORDS |= {'port'} | {f'port{i}' for i in range(2, 10)}


def texts(subject):
    for part in subject.parts + ((subject.before,) if subject.before else ()):
        yield from [part.command] if isinstance(part.command, str) else part.command
        yield from (part.stdin, part.stdout, part.ready)
    for path, text in subject.writes.items():
        yield path
        yield text


class Cases(unittest.TestCase):
    def test_words_are_known(self):
        for case in CASES:
            for subject in case.subjects:
                for text in texts(subject):
                    unknown = set(re.findall(r'@([a-z0-9_]+)@', text)) - WORDS
                    self.assertFalse(unknown, f'{case.name}, {subject.name}')

    def test_goals_name_what_is_there(self):
        for case in CASES:
            names = {e.name for e in rounds.entries_of(case, quick=False)}
            for goal in case.goals:
                self.assertLessEqual(set(goal.to) | {goal.of or case.main}, names, case.name)
                self.assertEqual((goal.at_least is None) + (goal.at_most is None), 1, case.name)

    def test_names_are_words_and_unique(self):
        for case in CASES:
            names = [e.name for e in rounds.entries_of(case, quick=False)]
            self.assertEqual(len(names), len(set(names)), case.name)
            for subject in case.subjects:
                self.assertRegex(subject.name, r'^[a-z0-9_]+$')
                self.assertEqual(len({p.name for p in subject.parts}), len(subject.parts), f'{case.name}, {subject.name}')

    def test_peers_have_a_source(self):
        for case in CASES:
            for subject in case.subjects:
                if subject.kind == 'peer':
                    self.assertTrue(subject.source, f'{case.name}, {subject.name}')

    def test_something_is_checked(self):
        for case in CASES:
            self.assertTrue(case.counts or case.same or case.check or case.figures or case.group == 'limits', case.name)

    def test_a_word_that_is_not_known_is_an_error(self):
        self.assertRaises(KeyError, measure.replace, 'x @nosuch@', {})
