"""The machine that measures: kernel, processors, memory, nodes, load, and the commit that was built. For the report."""
import os
import re
import subprocess
import time


def read(path):
    try:
        with open(path, encoding='utf-8', errors='replace') as f:
            return f.read()
    except OSError:
        return ''


def first(pattern, text):
    found = re.search(pattern, text, re.M)
    return found.group(1).strip() if found else ''


def said(*command, cwd=None):
    try:
        return subprocess.run(command, cwd=cwd, capture_output=True, text=True).stdout.strip()
    except OSError:
        return ''


def load():
    return [float(word) for word in read('/proc/loadavg').split()[:3]]


def nodes():
    folder = '/sys/devices/system/node'
    try:
        names = sorted(name for name in os.listdir(folder) if re.fullmatch(r'node\d+', name))
    except OSError:
        names = []
    return [{'node': name, 'cpus': read(f'{folder}/{name}/cpulist').strip(),
             'memory_kib': int(first(r'MemTotal:\s+(\d+)', read(f'{folder}/{name}/meminfo')) or 0)} for name in names]


def unified_cgroup():
    """The folder of cgroup v2 that this process may make cgroups in, or ''. It makes one for this process's life."""
    mount = first(r'^\S+ \S+ \S+ \S+ (\S+) .* - cgroup2 ', read('/proc/self/mountinfo'))
    own = first(r'^0::(.*)$', read('/proc/self/cgroup'))
    if not mount:
        return ''
    path = os.path.join(mount, own.lstrip('/'), f'sluice-bench-{os.getpid()}')
    try:
        os.mkdir(path)
    except OSError:
        return ''
    if not os.access(os.path.join(path, 'cpu.stat'), os.R_OK) or not os.access(os.path.join(path, 'cgroup.procs'), os.W_OK):
        os.rmdir(path)
        return ''
    return path


def remove_cgroup(path):
    """With what an interrupted run may have left in it."""
    for _ in range(200):
        folders = [path]
        for at, names, _ in os.walk(path):
            folders += [os.path.join(at, name) for name in names]
        for folder in sorted(folders, key=len, reverse=True):
            try:
                os.rmdir(folder)
            except OSError:
                continue
        if not os.path.isdir(path):
            return
        time.sleep(0.01)


def describe(source):
    cpuinfo, meminfo = read('/proc/cpuinfo'), read('/proc/meminfo')
    status = said('git', 'status', '--porcelain', '--untracked-files=no', cwd=source)
    return {
        'kernel': ' '.join(os.uname()[i] for i in (0, 2, 4)),
        'kernel_build': os.uname().version,
        'system': first(r'^PRETTY_NAME="?([^"\n]*)', read('/etc/os-release')),
        'cpu': first(r'^model name\s*:\s*(.*)$', cpuinfo) or first(r'^Model\s*:\s*(.*)$', cpuinfo),
        'cpu_mhz': first(r'^cpu MHz\s*:\s*(.*)$', cpuinfo),
        'cpus': os.cpu_count(),
        'virtual': 'hypervisor' in cpuinfo,
        'governor': read('/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor').strip(),
        'memory_kib': int(first(r'^MemTotal:\s+(\d+)', meminfo) or 0),
        'nodes': nodes(),
        'pipe_max_bytes': int(read('/proc/sys/fs/pipe-max-size') or 0),
        'huge_pages': first(r'\[(\w+)\]', read('/sys/kernel/mm/transparent_hugepage/enabled')),
        'mitigations': {name: read(f'/sys/devices/system/cpu/vulnerabilities/{name}').strip()
                        for name in sorted(os.listdir('/sys/devices/system/cpu/vulnerabilities'))}
        if os.path.isdir('/sys/devices/system/cpu/vulnerabilities') else {},
        'load': load(),
        'commit': said('git', 'rev-parse', 'HEAD', cwd=source),
        'changed': bool(status),
    }
