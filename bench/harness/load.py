"""The cases, from the files of bench/cases/, by groups in the order below, and within one as they stand in their files. The
relay's come last: with --quick they take the most of the time that is shared."""
import importlib.util
import os

GROUPS = ('limits', 'commands', 'pipes', 'tcp', 'files', 'tee', 'start', 'cold', 'scaling', 'links')


def place_of(case):
    return GROUPS.index(case.group) if case.group in GROUPS else len(GROUPS)


def cases(folder):
    found = []
    for name in sorted(os.listdir(folder)):
        if not name.endswith('.py') or name.startswith('_'):
            continue
        spec = importlib.util.spec_from_file_location(f'cases_{name[:-3]}', os.path.join(folder, name))
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found += module.CASES
    names = [case.name for case in found]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(f"two cases are called {', '.join(sorted(twice))}")
    return sorted(found, key=place_of)
