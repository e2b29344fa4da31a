"""The report as text: a table a case, medians with their spread, then what each goal came to."""
from harness import judge

UNITS = {
    'gib_per_s': ('GiB/s', '%.3g'), 'cpu_s_per_gib': ('CPU s/GiB', '%.3f'), 'wall_s': ('ms', None), 'cpu_s': ('CPU ms', None),
    'peak_rss_kib': ('RSS KiB', '%.0f'), 'switches_voluntary': ('voluntary', '%.0f'), 'switches_involuntary': ('involuntary', '%.0f'),
    'machine_cpu_s': ('machine CPU ms', None), 'machine_softirq_s': ('machine softirq ms', None),
    'machine_cpu_s_per_gib': ('machine CPU s/GiB', '%.3f'), 'memory_kib': ('memory KiB', '%.0f'), 'system_calls': ('calls', '%.0f'),
}
MARKS = {'holds': 'holds', 'misses': 'MISSES', 'undecided': 'undecided'}


def unit(measure):
    if measure in UNITS:
        return UNITS[measure][0]
    head, _, part = measure.partition('.')
    return f'{UNITS[head][0]} {part}' if head in UNITS and part else measure


def number(measure, value):
    if value is None:
        return '-'
    form = UNITS.get(measure.partition('.')[0], (measure, '%.4g'))[1]
    if form is None:
        return '%.3f' % (value * 1e3)
    return '%.0f' % value if abs(value) >= 1000 else form % value


def spread(measure, e):
    return f"({number(measure, e['least'])} to {number(measure, e['most'])})" if e else ''


def rows_of(case):
    rows = [[''] + [f'{unit(m)}' for m in case['show']] + ['RSS KiB', 'switches', 'calls', 'memory KiB']]
    for s in case['subjects']:
        label = s['label']
        if s['missing']:
            rows.append([label, 'missing: ' + ', '.join(s['missing'])])
            continue
        if s['failed'] and not any(s['samples']):
            rows.append([label, 'FAILED: ' + s['failed'][:150]])
            continue
        row = [label]
        for m in case['show']:
            e = case['judged']['estimates'][s['name']].get(m)
            if s['kind'] == 'null' and not e:  # it moves nothing: what it takes instead
                other = 'wall_s' if m == case['show'][0] else 'cpu_s' if m == case['show'][1] else ''
                e = case['judged']['estimates'][s['name']].get(other)
                row.append(f"{number(other, e['median'])} {unit(other)}" if e else '-')
                continue
            row.append(f"{number(m, e['median'])} {spread(m, e)}" if e else '-')
        e = case['judged']['estimates'][s['name']]
        switches = [e.get(m, {}).get('median') for m in ('switches_voluntary', 'switches_involuntary')]
        row.append(number('peak_rss_kib', e.get('peak_rss_kib', {}).get('median')))
        row.append('-' if None in switches else '%.0f' % sum(switches))
        row.append(number('system_calls', s['system_calls']))
        row.append(number('memory_kib', s['memory_kib']))
        if s['failed']:
            row.append('FAILED in a round: ' + s['failed'][:150])
        rows.append(row)
    return rows if case.get('untimed', True) else [row[:-2] if len(row) > 4 else row for row in rows]


def align(rows):
    full = [row for row in rows if len(row) > 2]
    widths = [max((len(row[i]) for row in full if i < len(row)), default=0) for i in range(max((len(r) for r in full), default=0))]
    if widths:
        widths[0] = max(widths[0], max(len(row[0]) for row in rows))
    lines = []
    for row in rows:
        if len(row) == 2:
            lines.append(f'  {row[0]:<{widths[0] if widths else 0}}  {row[1]}')
        else:
            lines.append('  ' + '  '.join(f'{cell:<{widths[i]}}' if i == 0 else f'{cell:>{widths[i]}}' if i < 7 else cell
                                          for i, cell in enumerate(row)).rstrip())
    return lines


def label_of(case, name):
    s = judge.subject_of(case, name)
    return s['label'] if s else name


def wanted(goal):
    return f">= {goal['at_least']:g}" if goal.get('at_least') is not None else f"<= {goal['at_most']:g}"


def goal_lines(case):
    lines = []
    for j in case['judged']['goals']:
        g, of = j['goal'], label_of(case, j['of'])
        if j.get('value'):
            e = j['value']
            text = f"{of}: {unit(g['measure'])} {number(g['measure'], e['median'])} [{number(g['measure'], e['low'])}, " \
                   f"{number(g['measure'], e['high'])}]"
        elif j.get('hardest'):
            h = j['hardest']
            text = f"{of} to {label_of(case, h['to'])}: {unit(g['measure'])} {h['ratio']['median']:.2f} " \
                   f"[{h['ratio']['low']:.2f}, {h['ratio']['high']:.2f}]"
        else:
            text = f"{of} to {', '.join(label_of(case, n) for n in g['to'])}: {unit(g['measure'])}"
        why = '; '.join(w for w in (j['why'], g['words']) if w)
        lines.append(f"  {MARKS[j['verdict']]:<10} goal {wanted(g)}: {text}{' (' + why + ')' if why else ''}")
    for j in case['judged']['auto']:
        lines.append(f"  {MARKS[j['verdict']]:<10} auto to the best forced driver, {label_of(case, j['best'])}: {unit(j['measure'])} "
                     f"{j['ratio']['median']:.2f} [{j['ratio']['low']:.2f}, {j['ratio']['high']:.2f}], A/A spread {j['spread']:.2f}")
    lines += [f"  note       {s['label']}: {s['note']}" for s in case['subjects'] if s.get('note') and s['kind'] == 'sluice']
    for m, e in case['judged']['noise'].items():
        lines.append(f"  A/A        {unit(m)} {e['median']:.2f} [{e['low']:.2f}, {e['high']:.2f}]")
    return lines


def limit_rows(case, report):
    """What the machine can do at all, beneath what has GiB/s; measured once in the run, in the case of that name."""
    limits = next((c for c in report['cases'] if c['name'] == 'limits'), None)
    if not limits or case is limits or 'gib_per_s' not in case['show']:
        return []
    rows = []
    for s in limits['subjects']:
        estimates = limits['judged']['estimates'][s['name']]
        if s['kind'] == 'limit' and 'gib_per_s' in estimates:
            rows.append([f"limit: {s['label']}"] + [f"{number(m, estimates[m]['median'])} {spread(m, estimates[m])}" if m in estimates else '-'
                                                    for m in case['show']] + ['', '', '', ''])
    return rows


def others(case):
    """What the machine did meanwhile that was not ours, of its whole time over all runs."""
    runs = [y for s in case['subjects'] for y in s['samples'] if y and y.get('machine_cpu_s') is not None and y.get('cpu_s') is not None]
    whole = sum(y['wall_s'] for y in runs) * case.get('cpus', 0)
    if whole < 0.5:
        return ''
    rest = sum(y['machine_cpu_s'] - y['cpu_s'] for y in runs) / whole
    return f', the rest of the machine {max(0, rest) * 100:.0f} % busy'


def case_text(case, report):
    size = f", {case['bytes'] / 2 ** 20:.0f} MiB" if case['bytes'] and case['bytes'] >= 1 << 20 else ''
    head = f"== {case['name']}: {case['title']}{size}, {case['rounds']} rounds, load {case['load'][0]:.1f}{others(case)} =="
    return '\n'.join([head] + align(rows_of(case) + limit_rows(case, report)) + goal_lines(case))


def summary(report):
    """Every goal of the run in one line each, and who was missing."""
    lines = ['== goals ==']
    counts = {'holds': 0, 'misses': 0, 'undecided': 0}
    for case in report['cases']:
        for j in case['judged']['goals'] + case['judged']['auto']:
            counts[j['verdict']] += 1
        lines += [f"  {case['name']:<20}{line}" for line in goal_lines(case) if line.split()[0] in MARKS.values()]
    lines.append(f"  {counts['holds']} hold, {counts['misses']} miss, {counts['undecided']} are undecided")
    missing = sorted({name for case in report['cases'] for s in case['subjects'] for name in s['missing']})
    if missing:
        lines.append(f"  missing peers: {', '.join(missing)}")
    return '\n'.join(lines)
