"""build/bin/sluice-bench: the parts, by google-benchmark, in the same report."""
import json
import subprocess

SECONDS, QUICK_SECONDS = 900, 60


def measure(binary, quick, env):
    words = [binary, '--benchmark_format=json', '--benchmark_enable_random_interleaving=true',
             f"--benchmark_repetitions={3 if quick else 7}", f"--benchmark_min_time={0.002 if quick else 0.1}"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, env=env, stdin=subprocess.DEVNULL,
                              timeout=QUICK_SECONDS if quick else SECONDS)
        found = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError) as why:
        return {'failed': str(why), 'pieces': []}
    pieces = {}
    for b in found['benchmarks']:
        if b.get('run_type') != 'iteration':
            continue
        p = pieces.setdefault(b['run_name'], {'name': b['run_name'], 'unit': b['time_unit'], 'wall': [], 'cpu': []})
        p['wall'].append(b['real_time'])
        p['cpu'].append(b['cpu_time'])
    return {'failed': '' if done.returncode == 0 else done.stderr.strip()[:300], 'pieces': [pieces[name] for name in sorted(pieces)]}
