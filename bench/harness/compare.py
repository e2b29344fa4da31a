"""Two reports: what changed beyond noise. A change counts when the 95 % intervals of the two medians have nothing in common, and
the medians are further apart than the wider A/A pair of the two runs and by more than a twentieth."""
from harness import judge

LEAST = 1.05


def noise_of(case, measure):
    aa = judge.noise(case, measure)
    if not aa or aa['low'] <= 0:
        return LEAST
    return max(aa['high'], 1 / aa['low'], LEAST)


def compare_one(old_case, new_case, name, measure):
    """None: no change, or nothing to compare."""
    old = judge.estimate(judge.subject_of(old_case, name), measure)
    new = judge.estimate(judge.subject_of(new_case, name), measure)
    if not old or not new or min(old['n'], new['n']) < 6 or old['median'] <= 0 or new['median'] <= 0:
        return None
    factor = new['median'] / old['median']
    if old['low'] <= new['high'] and new['low'] <= old['high']:
        return None
    if max(factor, 1 / factor) <= max(noise_of(old_case, measure), noise_of(new_case, measure)):
        return None
    return {'case': new_case['name'], 'subject': name, 'measure': measure, 'old': old['median'], 'new': new['median'], 'factor': factor,
            'better': (factor > 1) == judge.more_is_better(measure)}


def same_work(old_case, new_case):
    return old_case['bytes'] == new_case['bytes']


def compare(old, new):
    """What changed, and what could not be compared (in words)."""
    changes, silent = [], []
    old_cases = {case['name']: case for case in old['cases']}
    for case in new['cases']:
        before = old_cases.get(case['name'])
        if not before or not same_work(before, case):
            silent.append(f"{case['name']}: " + ('moves another number of bytes' if before else 'is new'))
            continue
        for s in case['subjects']:
            for measure in case['show']:
                change = compare_one(before, case, s['name'], measure)
                if change:
                    changes.append(dict(change, label=s['label'], kind=s['kind']))
        for was, now in zip(before['judged']['goals'], case['judged']['goals']):
            if was['goal'] == now['goal'] and {was['verdict'], now['verdict']} == {'holds', 'misses'}:
                changes.append({'case': case['name'], 'goal': now['goal'], 'old': was['verdict'], 'new': now['verdict'],
                                'better': now['verdict'] == 'holds', 'kind': 'goal'})
    gone = [name for name in old_cases if name not in {case['name'] for case in new['cases']}]
    return changes, silent + [f'{name}: was not measured now' for name in gone]


def worse(changes):
    """Of what is ours: a peer or a limit that changed says that the machine did."""
    return [c for c in changes if not c['better'] and c['kind'] in ('sluice', 'driver', 'goal')]


def text(old, new):
    from harness.table import number, unit
    changes, silent = compare(old, new)
    lines = [f"compared with {old['began']}, commit {old['machine']['commit'][:12]}:"]
    if old['machine']['kernel'] != new['machine']['kernel'] or old['machine']['cpu'] != new['machine']['cpu']:
        lines.append('  another kernel or processor: differences may be the machine\'s')
    for c in changes:
        mark = 'better' if c['better'] else 'WORSE'
        if c['kind'] == 'goal':
            lines.append(f"  {mark:<6} {c['case']}: goal on {unit(c['goal']['measure'])} {c['old']}, now {c['new']}")
            continue
        lines.append(f"  {mark:<6} {c['case']}: {c['label']}: {unit(c['measure'])} {number(c['measure'], c['old'])} -> "
                     f"{number(c['measure'], c['new'])} ({c['factor']:.2f} times)")
    lines += [f'  -      {words}' for words in silent]
    if not changes:
        lines.append('  nothing changed beyond noise')
    return '\n'.join(lines)
