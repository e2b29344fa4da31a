"""What the samples of a case say: estimates of every measure, ratios pair by pair, and of each goal whether it holds. It works
on the case as report.json has it, so that a recorded report can be read again."""
from harness import statistics as st

# Smaller is better for all but these.
MORE_IS_BETTER = ('gib_per_s', 'messages_per_s', 'connections_per_s')


def more_is_better(measure):
    return measure.split('.')[0] in MORE_IS_BETTER or measure.endswith('_per_s')


def subject_of(case, name):
    return next((s for s in case['subjects'] if s['name'] == name), None)


def values(subject, measure):
    """Of each round; None where there is none."""
    if subject is None:
        return []
    return [sample.get(measure) if sample else None for sample in subject['samples']]


def estimate(subject, measure):
    return st.estimate([v for v in values(subject, measure) if v is not None])


def ratio(case, of, to, measure):
    return st.estimate(st.ratios(values(subject_of(case, of), measure), values(subject_of(case, to), measure)))


def measures(case):
    """All that any sample has, in a steady order."""
    seen = {}
    for s in case['subjects']:
        for sample in s['samples']:
            for name in sample or {}:
                seen[name] = True
    return list(seen)


def noise(case, measure):
    """The A/A pair's ratio."""
    return ratio(case, f"{case['main']} again", case['main'], measure)


def hardest(goal, ratios):
    """Of the ratios to several: the one that is furthest from the goal."""
    if goal.get('at_least') is not None:
        return min(ratios, key=lambda r: r['ratio']['median'])
    return max(ratios, key=lambda r: r['ratio']['median'])


def judge_goal(case, goal):
    of = goal.get('of') or case['main']
    measure, to = goal['measure'], goal.get('to') or []
    wide = st.too_wide(noise(case, measure))
    ended = {'goal': goal, 'of': of, 'verdict': 'undecided', 'why': '', 'ratios': []}
    if not to:
        ended['value'] = estimate(subject_of(case, of), measure)
        ended['verdict'] = st.verdict(ended['value'], goal.get('at_least'), goal.get('at_most'))
        if ended['value'] is None:
            ended['why'] = 'not measured'
        return ended
    for name in to:
        r = ratio(case, of, name, measure)
        if r:
            ended['ratios'].append({'to': name, 'ratio': r, 'verdict': st.verdict(r, goal.get('at_least'), goal.get('at_most'))})
    if not any(v is not None for v in values(subject_of(case, of), measure)):
        ended['why'] = 'it was not measured itself'
        return ended
    lacking = [name for name in to if not any(r['to'] == name for r in ended['ratios'])]
    if not ended['ratios']:
        ended['why'] = 'not measured: ' + ', '.join(lacking)
        return ended
    if wide:
        ended['why'] = 'the A/A pair is too wide: no ratio'
        ended['too_wide'] = True
        return ended
    ended['hardest'] = hardest(goal, ended['ratios'])
    verdicts = [r['verdict'] for r in ended['ratios']]
    ended['verdict'] = 'misses' if 'misses' in verdicts else 'holds' if set(verdicts) == {'holds'} else 'undecided'
    if lacking:
        ended['why'] = 'without ' + ', '.join(lacking)
    elif ended['hardest']['ratio']['n'] < 6:
        ended['why'] = f"{ended['hardest']['ratio']['n']} pairs are too few"
    return ended


def judge_either(judged):
    """Of goals that share a word one is enough: the others then say so."""
    for j in judged:
        word = j['goal'].get('either')
        fellows = [k for k in judged if word and k['goal'].get('either') == word]
        if j['verdict'] != 'holds' and any(k['verdict'] == 'holds' for k in fellows):
            j['verdict'], j['why'] = 'holds', 'by the other way'


def judge_auto(case, measure):
    """`auto` must be no worse than the best forced driver, plus what the A/A pair spreads."""
    forced = [s for s in case['subjects'] if s['kind'] == 'driver' and estimate(s, measure)]
    aa = noise(case, measure)
    if not forced or not aa:
        return None
    more = more_is_better(measure)
    best = (max if more else min)(forced, key=lambda s: estimate(s, measure)['median'])
    r = ratio(case, case['main'], best['name'], measure)
    if not r:
        return None
    spread = max(aa['high'], 1 / aa['low']) if aa['low'] > 0 else float('inf')
    j = {'measure': measure, 'best': best['name'], 'ratio': r, 'spread': spread}
    worse = (lambda x: x < 1 / spread) if more else (lambda x: x > spread)
    if st.too_wide(aa) or r['n'] < 6:
        j['verdict'] = 'undecided'
    elif not worse(r['median']):
        j['verdict'] = 'holds'
    else:
        j['verdict'] = 'misses' if worse(r['high'] if more else r['low']) else 'undecided'
    return j


def judge(case):
    judged = [judge_goal(case, goal) for goal in case['goals']]
    judge_either(judged)
    shown = case['show'] if case.get('drivers') else []
    return {
        'estimates': {s['name']: {m: e for m in measures(case) if (e := estimate(s, m))} for s in case['subjects']},
        'noise': {m: e for m in case['show'] if (e := noise(case, m))},
        'goals': judged,
        'auto': [j for m in shown if (j := judge_auto(case, m))],
    }
