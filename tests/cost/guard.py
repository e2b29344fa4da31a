#!/usr/bin/env python3
"""tests/cost/guard.py: counts what the engine spends in each case, and compares it with tests/cost/bounds.

usage: tests/cost/guard.py [--build=DIR] [--bounds=FILE] [--top=N] [CASE...]
       tests/cost/guard.py --accept [CASE...]     writes what was counted to the bounds
       tests/cost/guard.py --self-test            it must notice an engine that does more

--top=N also shows the N functions that cost most, by their own instructions, and what each costs per MiB or message.
Exit status: 0 within the bounds; 1 above one, or the counts of two runs differ; 2 usage; 77 skipped, there is no valgrind.
"""
import argparse
import collections
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

SOURCE = pathlib.Path(__file__).resolve().parents[2]
ABOVE, BELOW = 1.05, 0.90
HEAP = re.compile(r"_*(s?brk|mmap(64)?|munmap|mremap|madvise)\b")
RUNS = ("small", "large")
CALLGRIND = ("--tool=callgrind", "--collect-atstart=no", "--compress-strings=no", "--compress-pos=no",
             "--collect-systime=yes", "--vgdb=no", "--quiet")


class Broken(Exception):
    pass


# ---- counting ----

def own_folders(program):
    """As the compiler called them."""
    cache = program.parents[2] / "CMakeCache.txt"
    home = re.search("^CMAKE_HOME_DIRECTORY:.*?=(.*)$", cache.read_text(encoding="utf-8"), re.MULTILINE).group(1)
    return tuple(f"{home}/{folder}/" for folder in ("engine", "uring", "stages"))


def profile(path, own_folders):
    """Of one of callgrind's files: instructions by function of ours, how often those call into a library, and system calls.

    A function is ours when its file lies in engine/, uring/ or stages/; what is inlined into it is its own. System calls are
    those that go past the seam, in the engine or in a library. callgrind counts them in the simulator too, which makes none but
    those of its malloc(): the heap's are left out.
    """
    own = collections.Counter()
    library_calls = system_calls = 0
    file = function = ""
    library = inclusive = False
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("fl="):
                file = line[3:].strip()
            elif line.startswith("fn="):
                function = line[3:].strip()
                ours = file.startswith(own_folders)
                library = False
            elif line.startswith("cob="):
                library = True
            elif line.startswith("calls="):
                if ours and library:
                    library_calls += int(line[6:].split()[0])
                library, inclusive = False, True
            elif line[:1].isdigit():
                costs = [int(word) for word in line.split()[1:]]
                if ours and not inclusive:
                    own[f"{file}:{function}"] += costs[0]
                if not inclusive and len(costs) > 1 and not HEAP.match(function):
                    system_calls += costs[1]
                inclusive = False
    return own, library_calls, system_calls


def run(program, case, wasteful, work):
    """What both runs of a case were counted at: {run: {figure: count}}, {run: own instructions by function}, its unit."""
    out = work / f"{case}.callgrind"
    for old in work.glob(f"{case}.callgrind*"):
        old.unlink()
    command = ["valgrind", *CALLGRIND, f"--callgrind-out-file={out}", str(program), *["--wasteful"] * wasteful, case]
    done = subprocess.run(command, env={"PATH": os.environ["PATH"], "LC_ALL": "C"}, stdin=subprocess.DEVNULL, text=True,
                          capture_output=True, check=False)
    if done.returncode != 0:
        raise Broken(f"{case}: exit status {done.returncode}: {done.stderr.strip()}")
    if "built without" in done.stdout:
        raise Broken(f"{program} was {done.stdout.splitlines()[0]}: remove it and build again")
    counts, functions, unit = {}, {}, ""
    for i, line in enumerate(done.stdout.splitlines()):
        name, unit, units, _, seam_calls, _, operations = line.split()
        own, library_calls, system_calls = profile(f"{out}.{i + 2}", own_folders(program))
        counts[name] = {"units": int(units), "instructions": sum(own.values()), "system_calls": int(seam_calls) + system_calls,
                        "ring_operations": int(operations), "library_calls": library_calls}
        functions[name] = own
    if tuple(counts) != RUNS or not counts["large"]["instructions"]:
        raise Broken(f"{case}: no instruction of ours was counted; it said {done.stdout!r}")
    return counts, functions, {"mib": "MiB"}.get(unit, unit)


def figures(counts, unit):
    """What each unit costs, and, for instructions, what a run costs beside its units."""
    small, large = counts["small"], counts["large"]
    units = large["units"] - small["units"]
    each = {name: (large[name] - small[name]) / units for name in small if name != "units"}
    ret = {f"{name}/{unit}": round(value, 2) for name, value in each.items()}
    ret["instructions/run"] = round(small["instructions"] - small["units"] * each["instructions"])
    return ret


def measure(program, case, wasteful, work):
    counts, functions, unit = run(program, case, wasteful, work)
    again, _, _ = run(program, case, wasteful, work)
    if counts != again:
        raise Broken(f"{case}: two runs were counted differently:\n  {counts}\n  {again}")
    return figures(counts, unit), functions, counts, unit


def show_top(functions, counts, unit, most):
    units = counts["large"]["units"] - counts["small"]["units"]
    more = collections.Counter({name: functions["large"][name] - functions["small"][name] for name in functions["large"]})
    total = sum(more.values()) or 1
    for name, cost in more.most_common(most):
        print(f"    {cost / units:12.2f} /{unit}  {100 * cost / total:5.1f} %  {name.removeprefix(str(SOURCE) + '/')}")


# ---- bounds ----

def read_bounds(path):
    bounds = {}
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            if line and not line.startswith("#"):
                case, figure, value = line.split()
                bounds[case, figure] = float(value)
    return bounds


def write_bounds(path, bounds):
    compiler = subprocess.run(["gcc", "--version"], text=True, capture_output=True, check=True).stdout.splitlines()[0]
    lines = ["# What the engine costs at most, in each case; 5 % above is a failure. Written by tests/cost/guard.py --accept,",
             f"# with {compiler}, release preset. README.md says what is counted."]
    width = max(len(case) for case, _ in bounds)
    lines += [f"{case:{width}} {figure:24} {value:>12.10g}" for (case, figure), value in bounds.items()]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def compare(case, found, bounds, out):
    """The figures that are above their bounds."""
    red = []
    for figure, value in found.items():
        bound = bounds.get((case, figure))
        if bound is None:
            print(f"FAIL {case} {figure}: {value:g}, and there is no bound: tests/cost/guard.py --accept {case}")
            red.append(figure)
        elif value > bound * ABOVE:
            print(f"FAIL {case} {figure}: {value:g}, the bound is {bound:g} ({100 * (value / bound - 1) if bound else 100:+.1f} %)")
            red.append(figure)
        elif value < bound * BELOW:
            print(f"note {case} {figure}: {value:g}, the bound {bound:g} can be lowered: tests/cost/guard.py --accept {case}")
    if red:
        print(f"     to look:    tests/cost/guard.py --top=20 {case}")
        print(f"                 callgrind_annotate --auto=yes {out / case}.callgrind.3 | less")
        print(f"     to accept:  tests/cost/guard.py --accept {case}, and say in the commit what it is worth")
    return red


# ---- the self-test ----

def self_test(program, bounds, work):
    """An engine whose moves are half as large must be above in instructions and calls; a lower bound must be missed by name."""
    case = "socket_to_socket_bulk"
    wrong = []
    found, *_ = measure(program, case, True, work)
    red = compare(case, found, bounds, work)
    wrong += [f"{figure} is not above its bound, though moves are halved"
              for figure in ("instructions/MiB", "system_calls/MiB") if figure not in red]
    found, *_ = measure(program, case, False, work)
    for figure in found:
        lower = {(case, name): value / 1.06 if name == figure else value for name, value in found.items()}
        higher = {(case, name): value * 1.2 for name, value in found.items()}
        if compare(case, found, lower, work) != [figure]:
            wrong.append(f"{figure} alone should have been above its bound")
        if compare(case, found, higher, work):
            wrong.append(f"{figure} is below its bound, and failed")
    return wrong


def main():
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--build", type=pathlib.Path, default=SOURCE / "build")
    parser.add_argument("--bounds", type=pathlib.Path, default=SOURCE / "tests/cost/bounds")
    parser.add_argument("--top", type=int, default=0)
    parser.add_argument("--accept", action="store_true")
    parser.add_argument("--self-test", action="store_true")
    parser.add_argument("-h", "--help", action="store_true")
    parser.add_argument("cases", nargs="*")
    options = parser.parse_args()
    if options.help:
        print(__doc__.split("\n\n", 1)[1], end="")
        return 0
    program = options.build.resolve() / "tests/cost/cost"
    if not program.exists():
        print(f"{program} is not there: the release preset of gcc 12 on x86-64 makes it (tools/build)", file=sys.stderr)
        return 2
    if not shutil.which("valgrind"):
        print("skipped: there is no valgrind", file=sys.stderr)
        return 77
    bounds = read_bounds(options.bounds)
    if options.self_test:
        with tempfile.TemporaryDirectory() as work:
            wrong = self_test(program, bounds, pathlib.Path(work))
        print(*(wrong or ["each rise was noticed"]), sep="\n")
        return bool(wrong)
    known = subprocess.run([program, "--list"], text=True, capture_output=True, check=True).stdout.split()
    unknown = [case for case in options.cases if case not in known]
    if unknown:
        print(f"no such case: {' '.join(unknown)}; there are {' '.join(known)}", file=sys.stderr)
        return 2
    red = False
    for case in options.cases or known:
        found, functions, counts, unit = measure(program, case, False, program.parent)
        print(case, *(f"{figure} {value:g}" for figure, value in found.items()), sep="  ")
        show_top(functions, counts, unit, options.top)
        if options.accept:
            bounds.update({(case, figure): value for figure, value in found.items()})
        else:
            red |= bool(compare(case, found, bounds, program.parent))
    for case, figure in list(bounds):
        if case not in known:
            print(f"FAIL {options.bounds}: there is no case {case}")
            red = True
    if options.accept:
        write_bounds(options.bounds, {key: value for key, value in bounds.items() if key[0] in known})
        return 0
    return int(red)


try:
    sys.exit(main())
except Broken as why:
    print(f"FAIL {why}")
    sys.exit(1)
