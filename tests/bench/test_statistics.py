"""Promises: the interval is that of the sign test, as tools/statistics.c has it, and a verdict is no more than it says."""
import unittest

from harness import statistics as st


class Interval(unittest.TestCase):
    def test_cut_is_the_binomial_one(self):
        # From tables of the sign test: 6 values may lose none, 9 one at either end, 12 two, 20 five, 100 thirty-nine.
        self.assertEqual([st.interval_cut(n) for n in (1, 5, 6, 8, 9, 11, 12, 20, 100)], [0, 0, 1, 1, 2, 2, 3, 6, 40])

    def test_known_samples(self):
        e = st.estimate([9, 1, 8, 2, 7, 3, 6, 4, 5])
        self.assertEqual((e['least'], e['low'], e['median'], e['high'], e['most'], e['n']), (1, 2, 5, 8, 9, 9))

    def test_even_number(self):
        self.assertEqual(st.estimate([1, 2, 3, 10])['median'], 2.5)

    def test_fewer_than_six_give_all(self):
        e = st.estimate([3, 1, 2])
        self.assertEqual((e['low'], e['high']), (1, 3))

    def test_none(self):
        self.assertIsNone(st.estimate([]))

    def test_one_outlier_moves_nothing(self):
        calm, wild = st.estimate(range(1, 10)), st.estimate(list(range(1, 9)) + [1000])
        self.assertEqual((calm['low'], calm['median'], calm['high']), (wild['low'], wild['median'], wild['high']))


class Ratios(unittest.TestCase):
    def test_pairs_with_a_hole_are_none(self):
        self.assertEqual(st.ratios([2, None, 6, 1], [1, 1, None, 0]), [2])


class Verdicts(unittest.TestCase):
    def e(self, *values):
        return st.estimate(values)

    def test_at_least(self):
        self.assertEqual(st.verdict(self.e(3.1, 3.2, 3.3, 3.4, 3.5, 3.6), at_least=3), 'holds')
        self.assertEqual(st.verdict(self.e(2.9, 3.2, 3.3, 3.4, 3.5, 3.6), at_least=3), 'undecided')
        self.assertEqual(st.verdict(self.e(1, 1, 1, 2, 2, 2.9), at_least=3), 'misses')

    def test_at_most(self):
        self.assertEqual(st.verdict(self.e(.4, .4, .5, .5, .6, .6), at_most=.6), 'holds')
        self.assertEqual(st.verdict(self.e(.4, .4, .5, .5, .6, .61), at_most=.6), 'undecided')
        self.assertEqual(st.verdict(self.e(.7, .7, .8, .8, .9, .9), at_most=.6), 'misses')

    def test_few_pairs_decide_nothing(self):
        self.assertEqual(st.verdict(self.e(9, 9, 9, 9, 9), at_least=3), 'undecided')
        self.assertEqual(st.verdict(None, at_least=3), 'undecided')

    def test_too_wide(self):
        self.assertFalse(st.too_wide(self.e(.9, 1, 1, 1, 1, 1.3)))
        self.assertTrue(st.too_wide(self.e(.5, 1, 1, 1, 1, 1.3)))
        self.assertFalse(st.too_wide(None))
