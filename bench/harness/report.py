"""report.json: everything that a run has seen, so that tables, pictures and comparisons can be made from it again."""
import dataclasses
import json
import os

from harness import judge

FORMAT = 1


def command_text(command):
    return command if isinstance(command, str) else ' '.join(w if ' ' not in w and w else f"'{w}'" for w in command)


def subject_json(entry):
    s = entry.subject
    return {
        'name': s.name, 'label': s.label, 'kind': s.kind, 'source': s.source, 'needs': list(s.needs), 'x': list(s.x) if s.x else None,
        'parts': [{'name': p.name, 'command': command_text(p.command).replace('@driver@', f'--driver={entry.driver}'), 'end': p.end}
                  for p in s.parts],
        'missing': entry.missing, 'failed': entry.failed, 'note': entry.note, 'samples': entry.samples, 'system_calls': entry.system_calls,
        'memory_kib': entry.memory_kib,
    }


def case_json(case, entries, bytes_moved, rounds, seconds, load):
    out = {
        'name': case.name, 'title': case.title, 'group': case.group, 'text': case.text, 'main': case.main, 'x': list(case.x), 'show': list(case.show),
        'bytes': bytes_moved, 'input': case.input, 'place': case.place, 'rounds': rounds, 'seconds': seconds, 'drivers': case.drivers,
        'load': load, 'cpus': os.cpu_count(),
        'subjects': [subject_json(e) for e in entries],
        'goals': [dict(dataclasses.asdict(g), to=list(g.to)) for g in case.goals],
    }
    out['judged'] = judge.judge(out)
    return out


def failures(report):
    """Of subjects that failed or gave a wrong output: (case, subject, why). What is wrong with the main subject is not said again
    of the same by another name."""
    found = []
    for c in report['cases']:
        main = next((s for s in c['subjects'] if s['name'] == c['main']), None)
        for s in c['subjects']:
            if s['failed'] and not (main and main['failed'] and s['kind'] in ('again', 'driver')):
                found.append((c['name'], s['label'], s['failed']))
    return found


def write(report, path):
    with open(path, 'w', encoding='utf-8') as f:
        json.dump(report, f, indent=1)
        f.write('\n')


def read(path):
    with open(path, encoding='utf-8') as f:
        report = json.load(f)
    if report.get('format') != FORMAT:
        raise ValueError(f'not a report of this harness (format {report.get("format")}, not {FORMAT})')
    for case in report['cases']:
        case['judged'] = judge.judge(case)  # as it is judged now
    return report
