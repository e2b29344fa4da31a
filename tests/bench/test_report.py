"""Promises: a recorded report becomes a page that is well-formed and holds every case, subject and verdict; tables do too."""
import json
import os
import tempfile
import unittest
import xml.etree.ElementTree as xml

import samples
from harness import html, report, table

RECORDED = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'recorded.json')


class Page(unittest.TestCase):
    def setUp(self):
        self.report = report.read(RECORDED)
        page = html.page(self.report)
        self.assertTrue(page.startswith('<!DOCTYPE html>\n'))
        self.root = xml.fromstring(page.split('\n', 1)[1])
        self.text = ' '.join(self.root.itertext())

    def elements(self, name):
        return [e for e in self.root.iter() if e.tag.split('}')[-1] == name]

    def test_every_case_and_subject_is_there(self):
        ids = {e.get('id') for e in self.root.iter()}
        for case in self.report['cases']:
            self.assertIn(case['name'], ids)
            self.assertIn(case['title'], self.text)
            for s in case['subjects']:
                self.assertIn(s['label'], self.text)

    def test_every_goal_has_its_verdict(self):
        chips = [e.text for e in self.elements('span') if e.get('class') in ('holds', 'misses', 'undecided')]
        goals = sum(len(case['judged']['goals']) + len(case['judged']['auto']) for case in self.report['cases'])
        self.assertGreater(goals, 0)
        self.assertEqual(len(chips), 2 * goals)  # at the top and in its case

    def test_it_needs_nothing_else(self):
        self.assertEqual(self.elements('script') + self.elements('img') + self.elements('link'), [])
        self.assertGreaterEqual(len(self.elements('svg')), len(self.report['cases']))

    def test_a_bar_for_every_subject_that_was_measured(self):
        for case in self.report['cases']:
            title = f"{case['title']}: {table.unit(case['show'][0])}"
            picture = next(e for e in self.elements('svg') if e[0].text == title)
            bars = [e for e in picture if e.tag.split('}')[-1] == 'rect']
            measured = [s for s in case['subjects'] if case['show'][0] in case['judged']['estimates'][s['name']]]
            self.assertGreaterEqual(len(bars), len(measured))

    def test_tables_have_them_too(self):
        for case in self.report['cases']:
            text = table.case_text(case, self.report)
            for s in case['subjects']:
                self.assertIn(s['label'], text)

    def test_words_are_escaped(self):
        made = samples.pair(1, 2)
        made['title'] = 'a < b & c'
        page = html.page(samples.a_report([made]))
        self.assertIn('a < b & c', ' '.join(xml.fromstring(page.split('\n', 1)[1]).itertext()))


class Files(unittest.TestCase):
    def test_what_is_not_a_report_is_refused(self):
        with tempfile.NamedTemporaryFile('w', suffix='.json') as f:
            json.dump({'format': 99}, f)
            f.flush()
            self.assertRaises(ValueError, report.read, f.name)


class Curves(unittest.TestCase):
    def test_cases_that_differ_by_a_number_become_curves(self):
        cases = [samples.pair(1, 2, seed=n) for n in (1, 2)]
        for n, case in enumerate(cases, 1):
            case.update(name=f'c{n}', x=['branches', n])
        root = xml.fromstring(html.page(samples.a_report(cases)).split('\n', 1)[1])
        titles = [e[0].text for e in root.iter() if e.tag.split('}')[-1] == 'svg']
        self.assertEqual(titles.count('branches: GiB/s'), 1)
        self.assertEqual(titles.count('branches: CPU s/GiB'), 1)
