"""Promises: a goal holds only when the pairs exclude worse; of several peers the hardest counts; noise silences a ratio."""
import unittest

import samples
from harness import judge


def verdict(case, i=0):
    return case['judged']['goals'][i]['verdict']


class Goals(unittest.TestCase):
    def test_holds_and_misses(self):
        fast = {'measure': 'gib_per_s', 'to': ['peer'], 'at_least': 3}
        self.assertEqual(verdict(samples.pair(1, 4, goals=[fast])), 'holds')
        self.assertEqual(verdict(samples.pair(1, 2, goals=[fast])), 'misses')
        self.assertEqual(verdict(samples.pair(1, 3, goals=[fast])), 'undecided')

    def test_the_hardest_peer_counts(self):
        subjects = samples.pair(1, 4)['subjects'] + [samples.subject('better', 'peer', samples.around(2, .02, seed=9))]
        case = samples.case('c', subjects, goals=[{'measure': 'gib_per_s', 'to': ['peer', 'better'], 'at_least': 3}])
        self.assertEqual(verdict(case), 'misses')
        self.assertEqual(case['judged']['goals'][0]['hardest']['to'], 'better')

    def test_one_undecided_peer_leaves_it_undecided(self):
        subjects = samples.pair(1, 4)['subjects'] + [samples.subject('close', 'peer', samples.around(3, .02, seed=9))]
        case = samples.case('c', subjects, goals=[{'measure': 'gib_per_s', 'to': ['peer', 'close'], 'at_least': 3}])
        self.assertEqual(verdict(case), 'undecided')

    def test_a_missing_peer_is_said(self):
        case = samples.pair(1, 4, goals=[{'measure': 'gib_per_s', 'to': ['peer', 'absent'], 'at_least': 3}])
        self.assertEqual(verdict(case), 'holds')
        self.assertIn('without absent', case['judged']['goals'][0]['why'])
        self.assertEqual(verdict(samples.pair(1, 4, goals=[{'measure': 'gib_per_s', 'to': ['absent'], 'at_least': 3}])), 'undecided')

    def test_noise_gives_no_ratio(self):
        case = samples.pair(1, 40, noise=.7, goals=[{'measure': 'gib_per_s', 'to': ['peer'], 'at_least': 3}])
        goal = case['judged']['goals'][0]
        self.assertEqual(goal['verdict'], 'undecided')
        self.assertTrue(goal['too_wide'])
        self.assertNotIn('hardest', goal)

    def test_one_of_two_ways_is_enough(self):
        two = [{'measure': 'gib_per_s', 'to': ['peer'], 'at_least': 9, 'either': 'e'}, {'measure': 'cpu_s_per_gib', 'to': ['peer'], 'at_most': .9, 'either': 'e'}]
        case = samples.pair(1, 2, goals=two)
        self.assertEqual([verdict(case, 0), verdict(case, 1)], ['holds', 'holds'])
        self.assertEqual(case['judged']['goals'][0]['why'], 'by the other way')

    def test_a_measure_by_itself(self):
        case = samples.pair(1, 2, goals=[{'measure': 'peak_rss_kib', 'at_most': 2000}, {'measure': 'peak_rss_kib', 'at_most': 1999}])
        self.assertEqual([verdict(case, 0), verdict(case, 1)], ['holds', 'misses'])

    def test_a_failed_round_leaves_its_pair_out(self):
        case = samples.pair(1, 4)
        case['subjects'][1]['samples'][0] = None
        self.assertEqual(judge.ratio(case, 'sluice', 'peer', 'gib_per_s')['n'], 8)


class Auto(unittest.TestCase):
    def auto(self, auto, best):
        subjects = samples.pair(auto, 9)['subjects'] + [samples.subject('sluice inline', 'driver', samples.around(best, .02, seed=20)),
                                                        samples.subject('sluice copy', 'driver', samples.around(best * 3, .02, seed=21))]
        return samples.case('c', subjects, drivers=True)['judged']['auto']

    def test_as_good_as_the_best(self):
        self.assertEqual([(j['best'], j['verdict']) for j in self.auto(1, 1)], [('sluice inline', 'holds')] * 2)

    def test_worse_than_the_best(self):
        self.assertEqual([j['verdict'] for j in self.auto(1.5, 1)], ['misses'] * 2)


class Missing(unittest.TestCase):
    def test_a_subject_that_was_not_measured_says_so_itself(self):
        subjects = samples.pair(1, 2)['subjects']
        subjects[0]['samples'] = []
        case = samples.case('c', subjects, goals=[{'measure': 'gib_per_s', 'to': ['peer'], 'at_least': 3}])
        self.assertEqual(case['judged']['goals'][0]['why'], 'it was not measured itself')
