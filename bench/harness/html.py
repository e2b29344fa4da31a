"""report.html: one page that needs nothing else, no script and no network. It is well-formed XML too, so that a test can read it."""
from html import escape

from harness import judge, statistics as st, svg, table

STYLE = """
body { font: 14px/1.45 system-ui, sans-serif; color: #1f2937; background: #fff; max-width: 1080px; margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.6em; } h2 { font-size: 1.3em; margin-top: 2.2em; border-bottom: 1px solid #d1d5db; } h3 { font-size: 1.1em; margin-top: 2em; }
table { border-collapse: collapse; margin: .6em 0; } td, th { padding: .15em .8em .15em 0; text-align: right; vertical-align: top; }
td:first-child, th:first-child, .left td, .left th { text-align: left; } th { font-weight: 600; border-bottom: 1px solid #d1d5db; }
tr.sluice td:first-child { font-weight: 600; } tr.limit td, tr.null td { color: #6b7280; }
svg { max-width: 100%; height: auto; font: 12px system-ui, sans-serif; fill: #1f2937; display: block; margin: .4em 0; } svg.curves { max-width: 700px; }
code { font: 12px/1.5 ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere; }
.holds, .misses, .undecided { display: inline-block; min-width: 5.5em; text-align: center; border-radius: 3px; padding: 0 .4em; color: #fff; }
.holds { background: #2f7d4f; } .misses { background: #b3261e; } .undecided { background: #8a8f98; }
.small { color: #6b7280; } .bad { color: #9a3412; } details { margin: .4em 0; } summary { cursor: pointer; color: #374151; }
"""
READING = """A bar is a median; the broad light line in it the 95 % interval of that median by the sign test, the thin one the least and the
most, each dot one run. The red dashed line is what the goal asks for: its ratio times the median of who it names. Subjects ran in
rounds, in an order shuffled each time; ratios are taken pair by pair, within rounds. A ratio holds when its 95 % interval excludes
worse than the goal, misses when it excludes the goal, and is undecided otherwise; where the same subject against itself (A/A) spreads
wider than 1.5 times, no ratio is given. CPU is that of all processes of a run."""

FAR = 8


def words(text):
    return escape(str(text), quote=False)


def row(cells, tag='td', kind=''):
    attribute = f' class="{kind}"' if kind else ''
    return f'<tr{attribute}>' + ''.join(f'<{tag}>{cell}</{tag}>' for cell in cells) + '</tr>'


def chip(verdict):
    return f'<span class="{verdict}">{verdict}</span>'


def machine_part(report):
    m = report['machine']
    facts = [('kernel', m['kernel'] + ' ' + m['kernel_build']), ('system', m['system']),
             ('processor', f"{m['cpu']}, {m['cpus']} CPUs" + (', a virtual machine' if m['virtual'] else '')),
             ('memory', f"{m['memory_kib'] / 2 ** 20:.1f} GiB on {len(m['nodes'])} node(s); large pages: {m['huge_pages'] or 'unknown'}; "
                        f"pipes up to {m['pipe_max_bytes'] // 1024} KiB"),
             ('commit', m['commit'] + (', with changes' if m['changed'] else '')),
             ('measured', f"{report['began']} to {report['ended']}{', --quick' if report['quick'] else ''}; load at the beginning {m['load'][0]}"),
             ('CPU by', 'cgroup v2, one for each part' if report['cpu_source'] == 'cgroup' else 'rusage of everything that was reaped')]
    return '<table class="left">' + ''.join(row([words(a), words(b)]) for a, b in facts) + '</table>'


def goal_cells(case, j):
    g = j['goal']
    asked = f"{table.unit(g['measure'])} {table.wanted(g)}"
    if g['to']:
        asked += ' to ' + ', '.join(table.label_of(case, name) for name in g['to'])
    got = ''
    if j.get('value'):
        e = j['value']
        got = f"{table.number(g['measure'], e['median'])} [{table.number(g['measure'], e['low'])}, {table.number(g['measure'], e['high'])}]"
    elif j.get('hardest'):
        h = j['hardest']
        got = f"{h['ratio']['median']:.2f} [{h['ratio']['low']:.2f}, {h['ratio']['high']:.2f}] to {table.label_of(case, h['to'])}"
    why = '; '.join(w for w in (j['why'], g['words']) if w)
    return [words(table.label_of(case, j['of'])), words(asked), words(got), chip(j['verdict']), f'<span class="small">{words(why)}</span>']


def auto_cells(case, j):
    r = j['ratio']
    return [words(table.label_of(case, case['main'])), words(f"auto: {table.unit(j['measure'])} no worse than {table.label_of(case, j['best'])}"),
            words(f"{r['median']:.2f} [{r['low']:.2f}, {r['high']:.2f}]"), chip(j['verdict']),
            f"<span class=\"small\">A/A spread {j['spread']:.2f}</span>"]


def goals_table(cases):
    lines = []
    for case in cases:
        link = f"<a href=\"#{words(case['name'])}\">{words(case['name'])}</a>"
        lines += [row([link] + goal_cells(case, j)) for j in case['judged']['goals']]
        lines += [row([link] + auto_cells(case, j)) for j in case['judged']['auto']]
    head = row(['case', 'of', 'asked', 'measured', '', ''], 'th')
    return f'<table class="left">{head}' + ''.join(lines) + '</table>' if lines else ''


def bar_rows(case, measure, limits):
    rows = []
    for s in case['subjects']:
        if s['kind'] == 'null' and measure not in ('wall_s', 'cpu_s'):
            continue
        e = case['judged']['estimates'][s['name']].get(measure)
        missing = 'missing: ' + ', '.join(s['missing']) if s['missing'] else 'failed' if s['failed'] else 'not measured'
        rows.append({'label': s['label'], 'kind': s['kind'], 'estimate': scaled(measure, e),
                     'samples': [scale_of(measure) * v for v in judge.values(s, measure) if v is not None],
                     'number': f"{table.number(measure, e['median'])} {table.spread(measure, e)}" if e else missing})
    if measure == 'gib_per_s' and case is not limits and limits:
        most = max((r['estimate']['most'] for r in rows if r['estimate']), default=0)
        for s in limits['subjects']:
            e = limits['judged']['estimates'][s['name']].get(measure)
            if s['kind'] == 'limit' and e and e['median'] < most * FAR:  # what is further off stands in the table only
                rows.append({'label': 'limit: ' + s['label'], 'kind': 'limit', 'estimate': e, 'samples': [],
                             'number': f"{table.number(measure, e['median'])} {table.spread(measure, e)}"})
    return rows


def scale_of(measure):
    """Pictures have milliseconds where tables have them."""
    return 1e3 if table.UNITS.get(measure.partition('.')[0], ('', ''))[1] is None else 1


def scaled(measure, e):
    return {k: v * scale_of(measure) if k != 'n' else v for k, v in e.items()} if e else None


def goal_marks(case, measure):
    marks = []
    for j in case['judged']['goals']:
        g = j['goal']
        ratio = g['at_least'] if g['at_least'] is not None else g['at_most']
        if g['measure'] != measure or (j['of'] != case['main'] and not g['to']):
            continue
        for name in [j['hardest']['to']] if j.get('hardest') else g['to']:
            e = case['judged']['estimates'].get(name, {}).get(measure)
            if e:
                marks.append((ratio * e['median'] * scale_of(measure),
                              f"{table.label_of(case, j['of'])}: {table.wanted(g)} times {table.label_of(case, name)}"))
        if not g['to']:
            marks.append((ratio * scale_of(measure), table.wanted(g)))
    return marks


def numbers_table(case, limits):
    extra = [m for m in judge.measures(case) if m not in case['show'] and m not in ('bytes', 'peak_rss_kib', 'switches_voluntary', 'switches_involuntary')]
    measures = list(case['show']) + ['peak_rss_kib', 'switches_voluntary', 'switches_involuntary']
    head = row([''] + [words(table.unit(m)) for m in measures] + ['calls', 'memory KiB'], 'th')
    lines = []
    for s in case['subjects']:
        e = case['judged']['estimates'][s['name']]
        lines.append(row([words(s['label'])] + [words(table.number(m, e[m]['median'])) if m in e else '' for m in measures]
                         + [words(table.number('system_calls', s['system_calls'])), words(table.number('memory_kib', s['memory_kib']))], kind=s['kind']))
    if limits and limits is not case:
        for s in limits['subjects']:
            e = limits['judged']['estimates'][s['name']]
            if s['kind'] == 'limit' and e and 'gib_per_s' in case['show']:
                lines.append(row(['limit: ' + words(s['label'])] + [words(table.number(m, e[m]['median'])) if m in e else '' for m in measures] + ['', ''],
                                 kind='limit'))
    out = f'<table>{head}' + ''.join(lines) + '</table>'
    if extra:
        head = row([''] + [words(table.unit(m)) for m in extra], 'th')
        lines = [row([words(s['label'])] + [words(table.number(m, case['judged']['estimates'][s['name']][m]['median']))
                                            if m in case['judged']['estimates'][s['name']] else '' for m in extra], kind=s['kind']) for s in case['subjects']]
        out += f'<details><summary>everything else that was measured (medians)</summary><table>{head}' + ''.join(lines) + '</table></details>'
    return out


def commands_part(case):
    lines = []
    for s in case['subjects']:
        if s['kind'] in ('again', 'null'):
            continue
        parts = '<br/>'.join((f"{words(p['name'])}: " if len(s['parts']) > 1 else '') + f"<code>{words(p['command'])}</code>" for p in s['parts'])
        lines.append(row([words(s['label']), parts, words(s['source'])]))
    return '<details><summary>commands, and where they are from</summary><p class="small">@in@ is the input, @out@ a folder that is new for each run, ' \
        '@port@ a free port, @bare@ sluice-bench-bare; bench/harness/case.py has them all.</p><table class="left">' + ''.join(lines) + '</table></details>'


def curve_part(case):
    series = {}
    measure = case['show'][0]
    for s in case['subjects']:
        e = case['judged']['estimates'][s['name']].get(measure)
        if s.get('x') and e and s['kind'] not in ('again', 'driver'):
            series.setdefault(s['x'][0], []).append((s['x'][1], e))
    series = {name: sorted(points, key=lambda p: p[0]) for name, points in series.items()}
    return svg.curves(series, case['title'], 'n', table.unit(measure)) if series else ''


def pictures_part(cases):
    """Cases that differ by a number, as curves over it: one picture for each measure that they show."""
    out, names = [], {}
    for case in cases:
        if case.get('x'):
            names.setdefault(case['x'][0], []).append(case)
    for name, fellows in names.items():
        if len(fellows) < 2:
            continue
        for measure in fellows[0]['show']:
            series = {}
            for case in sorted(fellows, key=lambda c: c['x'][1]):
                for s in case['subjects']:
                    e = case['judged']['estimates'][s['name']].get(measure)
                    if e and s['kind'] in ('sluice', 'peer', 'bare'):
                        series.setdefault(s['label'], []).append((case['x'][1], scaled(measure, e)))
            if series:
                out.append(svg.curves(series, f'{name}: {table.unit(measure)}', name, table.unit(measure), ideal=False))
    return '\n'.join(out)


def case_part(case, limits):
    size = f"{case['bytes'] / 2 ** 20:.0f} MiB, " if case['bytes'] and case['bytes'] >= 1 << 20 else ''
    out = [f"<h3 id=\"{words(case['name'])}\">{words(case['title'])}</h3>",
           f"<p class=\"small\">{words(case['name'])}: {size}{case['rounds']} rounds, load {case['load'][0]:.1f}{words(table.others(case))}</p>"]
    if case['text']:
        out.append(f"<p>{words(case['text'])}</p>")
    out.append(curve_part(case))
    for measure in case['show']:
        out += [f'<p>{words(table.unit(measure))}</p>', svg.bars(bar_rows(case, measure, limits), f"{case['title']}: {table.unit(measure)}", goal_marks(case, measure))]
    for s in case['subjects']:
        if s['failed']:
            out.append(f"<p class=\"bad\">{words(s['label'])} failed, and does not count: {words(s['failed'])}</p>")
        if s.get('note') and s['kind'] == 'sluice':
            out.append(f"<p class=\"small\">{words(s['label'])}: {words(s['note'])}</p>")
    aa = '; '.join(f"{table.unit(m)} {e['median']:.2f} [{e['low']:.2f}, {e['high']:.2f}]" for m, e in case['judged']['noise'].items())
    out += [f'<p class="small">A/A, the same subject twice: {words(aa)}</p>' if aa else '', goals_table([case]), numbers_table(case, limits), commands_part(case)]
    return '\n'.join(out)


def pieces_part(report):
    found = report.get('pieces')
    if not found:
        return ''
    lines = []
    for p in found['pieces']:
        wall, cpu = st.estimate(p['wall']), st.estimate(p['cpu'])
        lines.append(row([words(p['name'])] + [f"{v:.4g}" for v in (wall['median'], wall['least'], wall['most'], cpu['median'])] + [words(p['unit'])]))
    bad = f"<p class=\"bad\">{words(found['failed'])}</p>" if found['failed'] else ''
    return '<h2 id="pieces">The parts</h2><p>build/bin/sluice-bench (google-benchmark), repetitions interleaved.</p>' + bad + '<table>' \
        + row(['', 'wall, median', 'least', 'most', 'CPU, median', ''], 'th') + ''.join(lines) + '</table>'


def peers_part(report):
    lines = [row([words(name), words(p['from']), words(p['version'])]) for name, p in report.get('peers', {}).items()]
    return '<h2 id="peers">Peers</h2><table class="left">' + row(['program', 'from', 'version'], 'th') + ''.join(lines) + '</table>'


def page(report):
    limits = next((case for case in report['cases'] if case['name'] == 'limits'), None)
    out = ['<!DOCTYPE html>', '<html lang="en" xmlns="http://www.w3.org/1999/xhtml"><head><meta charset="utf-8"/>',
           '<meta name="viewport" content="width=device-width"/><title>sluice: benchmarks</title>', f'<style>{STYLE}</style></head><body>',
           '<h1>sluice beside its peers</h1>', machine_part(report), f'<p>{words(READING)}</p>', '<h2 id="goals">Goals</h2>', goals_table(report['cases'])]
    group = None
    for case in report['cases']:
        if case['group'] != group:
            group = case['group']
            out.append(f"<h2>{words(group or 'cases')}</h2>")
            out.append(pictures_part([c for c in report['cases'] if c['group'] == group]))
        out.append(case_part(case, limits))
    out += [pieces_part(report), peers_part(report), '</body></html>']
    return '\n'.join(part for part in out if part) + '\n'


def write(report, path):
    with open(path, 'w', encoding='utf-8') as f:
        f.write(page(report))
