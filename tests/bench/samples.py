"""Reports that nobody measured: cases with samples as a test wants them."""
import copy
import random

from harness import judge, report


def subject(name, kind, wall, needs=()):
    """`wall`: seconds of each round; the rest follows from it, for 1 GiB."""
    samples = [None if w is None else {'wall_s': w, 'gib_per_s': 1 / w, 'cpu_s': w, 'cpu_s_per_gib': w, 'peak_rss_kib': 2000,
                                       'switches_voluntary': 10, 'switches_involuntary': 1, 'bytes': 1 << 30} for w in wall]
    return {'name': name, 'label': name, 'kind': kind, 'source': '', 'needs': list(needs), 'x': None,
            'parts': [{'name': 'main', 'command': f'{name} <"&>', 'end': 'wait'}], 'missing': [], 'failed': '', 'note': '', 'samples': samples,
            'system_calls': 10, 'memory_kib': 0}


def case(name, subjects, goals=(), drivers=False):
    full = [dict({'to': [], 'at_least': None, 'at_most': None, 'of': '', 'either': '', 'words': ''}, **g) for g in goals]
    out = {'name': name, 'title': f'what {name} does', 'group': 'g', 'text': '', 'main': 'sluice', 'show': ['gib_per_s', 'cpu_s_per_gib'],
           'bytes': 1 << 30, 'input': 'random', 'place': 'memory', 'rounds': len(subjects[1]['samples']), 'seconds': 1.0, 'drivers': drivers,
           'load': [0.1, 0.1, 0.1], 'cpus': 2, 'subjects': subjects, 'goals': full}
    out['judged'] = judge.judge(out)
    return out


def around(middle, noise, n=9, seed=1):
    dice = random.Random(seed)
    return [middle * (1 + noise * (dice.random() * 2 - 1)) for _ in range(n)]


def a_report(cases):
    return {'format': report.FORMAT, 'began': '2026-01-01T00:00:00Z', 'ended': '2026-01-01T00:01:00Z', 'quick': False, 'cpu_source': 'cgroup',
            'machine': {'kernel': 'Linux 6', 'kernel_build': '#1', 'system': 'Debian', 'cpu': 'a CPU', 'cpus': 2, 'virtual': False,
                        'memory_kib': 1 << 20, 'nodes': [], 'pipe_max_bytes': 1 << 20, 'huge_pages': '', 'load': [0, 0, 0], 'commit': 'abc',
                        'changed': False},
            'peers': {}, 'pieces': None, 'cases': copy.deepcopy(cases)}


def pair(sluice, peer, noise=0.02, seed=1, **more):
    """sluice, sluice again and a peer, each round of them around its seconds."""
    return case('c', [subject('sluice', 'sluice', around(sluice, noise, seed=seed)), subject('peer', 'peer', around(peer, noise, seed=seed + 1)),
                      subject('sluice again', 'again', around(sluice, noise, seed=seed + 2))], **more)
