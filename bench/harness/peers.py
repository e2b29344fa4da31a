"""The other programs: where they are, and which version. tools/bench has fetched them into a folder; what is not there is
looked for in PATH, and the report marks which. Called by the harness's main program; measure.py uses the environment."""
import os
import re
import subprocess

# How a program says its version, where --version is not the way.
VERSION_WORDS = {
    'haproxy': ['-v'], 'nginx': ['-v'], 'socat': ['-V'], 'pee': [], 'nc': ['-h'], 'iperf3': ['--version'], 'dash': [],
    'sh': [], 'rsyslogd': ['-v'],
}
# What cases use without saying that they need it, since every machine has it; their versions are in the report all the same.
USED_ANYWAY = ('sh', 'bash', 'cat', 'cp', 'grep', 'gzip', 'sort', 'strace', 'tee', 'zstd')
PACKAGE_OF = {
    'haproxy': 'haproxy', 'nginx': 'nginx', 'socat': 'socat', 'pv': 'pv', 'mbuffer': 'mbuffer', 'pee': 'moreutils',
    'iperf3': 'iperf3', 'nc': 'netcat-openbsd', 'pigz': 'pigz', 'parallel': 'parallel', 'rsyslogd': 'rsyslog', 'dash': 'dash',
    'strace': 'strace', 'zstd': 'zstd', 'tee': 'coreutils', 'cat': 'coreutils', 'cp': 'coreutils', 'sort': 'coreutils',
    'grep': 'grep', 'sh': 'dash', 'gzip': 'gzip', 'bash': 'bash',
}


class Peers:
    def __init__(self, folder):
        self.folder = folder
        fetched = [os.path.join(folder, part) for part in ('usr/local/bin', 'usr/bin', 'usr/sbin', 'bin', 'sbin')]
        self.fetched = [path for path in fetched if os.path.isdir(path)]
        libraries = [os.path.join(folder, part) for part in ('usr/lib/x86_64-linux-gnu', 'lib/x86_64-linux-gnu', 'usr/lib', 'lib')]
        machine = os.uname().machine
        libraries = [path.replace('x86_64', machine) for path in libraries]
        self.libraries = [path for path in libraries if os.path.isdir(path)]
        self.seen = {}

    def environment(self):
        """Of whatever is run. The folder of libraries has only those that the machine lacks."""
        env = dict(os.environ, LC_ALL='C', PATH=':'.join(self.fetched + [os.environ.get('PATH', '/usr/bin:/bin'), '/usr/sbin', '/sbin']))
        if self.libraries:
            env['LD_LIBRARY_PATH'] = ':'.join(self.libraries)
        return env

    def find(self, name):
        """The path of a program, or None."""
        if name not in self.seen:
            self.seen[name] = self._look_for(name)
        return self.seen[name]['path']

    def _look_for(self, name):
        for folder in self.environment()['PATH'].split(':'):
            path = os.path.join(folder, name)
            if os.path.isfile(path) and os.access(path, os.X_OK):
                fetched = path.startswith(self.folder + os.sep)
                return {'path': path, 'from': 'fetched' if fetched else 'this machine', 'version': self._version(name, path)}
        return {'path': None, 'from': 'missing', 'version': ''}

    def _version(self, name, path):
        words = VERSION_WORDS.get(name, ['--version'])
        text = ''
        if words:
            try:
                done = subprocess.run([path] + words, env=self.environment(), stdin=subprocess.DEVNULL, capture_output=True,
                                      text=True, errors='replace', timeout=10)
                text = done.stdout + done.stderr
            except (OSError, subprocess.SubprocessError):
                text = ''
        found = next((line.strip() for line in text.splitlines() if re.search(r'\d+\.\d+', line)), '')
        return found[:80] or self._package_version(name)

    def _package_version(self, name):
        package = PACKAGE_OF.get(name)
        if not package:
            return ''
        try:
            done = subprocess.run(['dpkg-query', '-W', '-f', '${Package} ${Version}', package], capture_output=True, text=True)
            return done.stdout.strip()
        except OSError:
            return ''

    def report(self):
        return {name: dict(seen) for name, seen in sorted(self.seen.items())}

    def cure(self, names):
        return 'apt-get install ' + ' '.join(sorted({PACKAGE_OF.get(name, name) for name in names}))
