"""Promises: a planted change is found, and called better or worse; noise is not a change."""
import unittest

import samples
from harness import compare


class Compare(unittest.TestCase):
    def changes(self, old, new, noise=.03):
        return compare.compare(samples.a_report([samples.pair(old, 4, noise, seed=1)]), samples.a_report([samples.pair(new, 4, noise, seed=50)]))

    def test_noise_is_no_change(self):
        for seed in range(20):
            old = samples.a_report([samples.pair(1, 4, .1, seed=seed)])
            new = samples.a_report([samples.pair(1, 4, .1, seed=seed + 100)])
            self.assertEqual(compare.compare(old, new)[0], [])

    def test_a_planted_change_is_found(self):
        slower, _ = self.changes(1, 1.5)
        self.assertEqual({(c['subject'], c['measure'], c['better']) for c in slower},
                         {(s, m, False) for s in ('sluice', 'sluice again') for m in ('gib_per_s', 'cpu_s_per_gib')})
        faster, _ = self.changes(1.5, 1)
        self.assertTrue(all(c['better'] for c in faster) and faster)
        self.assertEqual(compare.worse(faster), [])
        self.assertTrue(compare.worse(slower))

    def test_a_change_within_the_noise_of_the_machine_is_none(self):
        self.assertEqual(self.changes(1, 1.2, noise=.3)[0], [])

    def test_the_a_a_pair_says_what_noise_is(self):
        def steady(seconds, again):
            return samples.a_report([samples.case('c', [samples.subject('sluice', 'sluice', samples.around(seconds, .001)),
                                                        samples.subject('sluice again', 'again', [seconds * f for f in again])])])
        calm, wild = [1] * 9, [.8, 1.25] * 4 + [1]
        changed = {c['subject'] for c in compare.compare(steady(1, calm), steady(1.15, calm))[0]}
        self.assertIn('sluice', changed)
        changed = {c['subject'] for c in compare.compare(steady(1, wild), steady(1.15, calm))[0]}
        self.assertNotIn('sluice', changed)

    def test_a_verdict_that_turns(self):
        goal = [{'measure': 'gib_per_s', 'to': ['peer'], 'at_least': 3}]
        old, new = samples.a_report([samples.pair(1, 4, goals=goal)]), samples.a_report([samples.pair(1, 2, seed=9, goals=goal)])
        self.assertEqual([(c['old'], c['new']) for c in compare.compare(old, new)[0] if c['kind'] == 'goal'], [('holds', 'misses')])
        self.assertIn('WORSE', compare.text(old, new))

    def test_what_cannot_be_compared_is_said(self):
        old, new = samples.a_report([samples.pair(1, 4)]), samples.a_report([samples.pair(1, 4)])
        new['cases'][0]['bytes'] = 5
        self.assertEqual(compare.compare(old, new), ([], ['c: moves another number of bytes']))
        new['cases'][0]['name'] = 'd'
        self.assertEqual(compare.compare(old, new)[1], ['d: is new', 'c: was not measured now'])
