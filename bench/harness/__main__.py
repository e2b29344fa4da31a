"""The harness's main program; tools/bench calls it, and --help of tools/bench describes it."""
import argparse
import os
import shutil
import signal
import sys
import tempfile
import time

from harness import compare, html, inputs, load, machine, measure, peers, pieces, report, rounds, table

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
WRONG, USAGE, WORSE = 1, 2, 3
QUICK_S = 110  # for all cases of --quick together: with building and the parts it stays under three minutes


def parse(argv):
    p = argparse.ArgumentParser(prog='tools/bench', add_help=False)
    p.add_argument('--quick', action='store_true')
    p.add_argument('--only', action='append', default=[])
    p.add_argument('--list', action='store_true')
    p.add_argument('--json', action='store_true')
    p.add_argument('--output', default='')
    p.add_argument('--pairs', type=int, default=0)
    p.add_argument('--compare', default='')
    p.add_argument('--from', dest='recorded', default='')
    p.add_argument('--no-untimed', action='store_true')
    p.add_argument('--no-pieces', action='store_true')
    p.add_argument('--cases', default=os.path.join(SOURCE, 'bench', 'cases'))
    p.add_argument('--build', default=os.environ.get('BUILD') or os.path.join(SOURCE, 'build'))
    return p.parse_args(argv)


def complain(text):
    print(f'tools/bench: {text}', file=sys.stderr)


def doing(text):
    """One line that is rewritten, on a terminal only."""
    if sys.stderr.isatty():
        sys.stderr.write('\r\033[K' + (f'... {text}' if text else ''))
        sys.stderr.flush()


def chosen(all_cases, only):
    names = [case.name for case in all_cases]
    for name in only:
        if name not in names and name not in {case.group for case in all_cases}:
            raise KeyError(f'no case {name}: --list shows them')
    return [case for case in all_cases if not only or case.name in only or case.group in only]


def with_limits(all_cases, cases):
    """The limits come first, whatever was chosen: they stand in every table."""
    limits = [case for case in all_cases if case.name == 'limits']
    return limits + [case for case in cases if case.name != 'limits']


def memory_folder():
    """Where inputs and outputs lie: in memory where that can be had."""
    base = os.environ.get('BENCH_MEMORY') or ('/dev/shm' if os.access('/dev/shm', os.W_OK) else None)
    return tempfile.mkdtemp(prefix='sluice-bench.', dir=base)


def run_cases(place, made, cases, options, opt, out):
    begun = time.monotonic()
    for i, case in enumerate(cases):
        def say(text):
            doing(f'{i + 1}/{len(cases)} {case.name}: {text}')
        if opt.quick and not opt.pairs:
            options.budget_s = max(0, QUICK_S - (time.monotonic() - begun)) / (len(cases) - i)
        entries, moved, done, seconds = rounds.run_case(place, made, case, options, say)
        out['cases'].append(report.case_json(case, entries, moved, done, seconds, machine.load()))
        doing('')
        if not opt.json:
            print(table.case_text(out['cases'][-1], out) + '\n', flush=True)


def run_all(cases, opt):
    out = {'format': report.FORMAT, 'began': time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime()), 'quick': opt.quick,
           'options': {'pairs': opt.pairs, 'only': opt.only, 'seed': rounds.SEED}, 'machine': machine.describe(SOURCE), 'cases': [], 'pieces': None}
    folder_peers = peers.Peers(os.path.join(opt.build, 'bench', 'peers'))
    for name in peers.USED_ANYWAY:
        folder_peers.find(name)
    memory, cgroup = memory_folder(), machine.unified_cgroup()
    disk = tempfile.mkdtemp(prefix='work.', dir=opt.output)
    out['cpu_source'] = 'cgroup' if cgroup else 'rusage'
    try:
        place = measure.Place(SOURCE, os.path.join(opt.build, 'bin'), memory, disk, folder_peers, cgroup)
        made = inputs.Inputs(memory, disk, place.binary('bare'))
        options = rounds.Options(opt.pairs, opt.quick, untimed=not opt.no_untimed)
        run_cases(place, made, cases, options, opt, out)
        if not opt.no_pieces:
            doing('the parts, by sluice-bench')
            out['pieces'] = pieces.measure(place.binaries + '/sluice-bench', opt.quick, folder_peers.environment())
    finally:
        doing('')
        shutil.rmtree(memory, ignore_errors=True)
        shutil.rmtree(disk, ignore_errors=True)
        if cgroup:
            machine.remove_cgroup(cgroup)
    out['peers'] = folder_peers.report()
    out['ended'] = time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())
    return out


def show_again(out):
    for case in out['cases']:
        print(table.case_text(case, out) + '\n')


def read_report(path):
    try:
        return report.read(path)
    except (OSError, ValueError) as why:
        raise ValueError(f'{path}: {why}') from why


def main(argv):
    opt = parse(argv)
    opt.output = opt.output or os.path.join(opt.build, 'bench')
    try:
        all_cases = load.cases(opt.cases)
        cases = chosen(all_cases, opt.only)
        old = read_report(opt.compare) if opt.compare else None
        out = read_report(opt.recorded) if opt.recorded else None
    except (KeyError, ValueError, OSError) as why:
        complain(why.args[0] if not isinstance(why, OSError) else why)
        return USAGE
    if opt.list:
        for case in cases:
            print(f'{case.name:<20} {case.group:<9} {case.title}')
        return 0
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda n, _: sys.exit(128 + n))
    os.makedirs(opt.output, exist_ok=True)
    if out is None:
        out = run_all(with_limits(all_cases, cases), opt)
        report.write(out, os.path.join(opt.output, 'report.json'))
    elif not opt.json:
        show_again(out)
    html.write(out, os.path.join(opt.output, 'report.html'))
    if opt.json:
        report.write(out, '/dev/stdout')
    else:
        print(table.summary(out))
    changed = []
    if old:
        changed = compare.worse(compare.compare(old, out)[0])
        print(compare.text(old, out), file=sys.stderr if opt.json else sys.stdout)
    bad = report.failures(out)
    for case, subject, why in bad:
        complain(f'{case}: {subject}: {why}')
    return WRONG if bad else WORSE if changed else 0


if __name__ == '__main__':
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        doing('')
        sys.exit(130)
