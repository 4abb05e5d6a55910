"""The command: flags, the order of the runs, and what is printed. Runs of one repeat go through all systems before the next repeat
begins, so that a machine that changes changes for all of them."""

import argparse
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from . import machine, processes
from .figures import Trouble
from .generator import Generator
from .runs import Bench
from .scenarios import SCENARIOS
from .systems import SYSTEMS
from .table import OURS, goals_text, markdown

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# Beyond the minutes that were asked for, one run that has begun may go on for this long.
GRACE_SECONDS = 900


def comma(choices):
    def parse(text):
        words = text.split(",")
        for word in words:
            if word not in choices:
                raise argparse.ArgumentTypeError(f"`{word}` is none of {', '.join(choices)}")
        return words

    return parse


def flags(arguments):
    parser = argparse.ArgumentParser(
        prog="benches/compare",
        description="The same requests against Emberkeep, VictoriaMetrics and Prometheus, one core each, as a table with ratios. See docs/benchmarks.md.",
    )
    add = parser.add_argument
    add("--scenario", type=comma(list(SCENARIOS)), default=list(SCENARIOS), help=f"which tables: {', '.join(SCENARIOS)} [all]")
    add("--systems", type=comma(list(SYSTEMS)), default=list(SYSTEMS), help=f"which systems: {', '.join(SYSTEMS)} [all]")
    add("--protocols", type=comma(["1", "2"]), default=["1", "2"], help="versions of remote write [1,2]")
    add("--repeats", type=int, default=3, help="runs of each system, where a scenario does not say otherwise [3]")
    add("--series", type=int, help="instead of the scenario's number")
    add("--scrapes", type=int, help="instead of the scenario's number")
    add("--connections", type=int, help="instead of the scenario's number")
    add("--minutes", type=float, default=30, help="no run begins that would end later, as far as one can tell [30]")
    add("--seed", type=int, default=1, help="what the data follows from [1]")
    add("--corpus", metavar="DIR", help="folder with prometheus-rw1.bin and prometheus-rw2.bin, for the real data of `size`")
    add("--programs", metavar="DIR", help="folder with our release programs; builds nothing of ours")
    add("--no-build", action="store_true", help="builds no peer that is missing")
    add("--no-check", action="store_true", help="does not read back what was sent")
    add("--append", action="store_true", help="appends what is printed to benches/RESULTS.md")
    return parser.parse_args(arguments)


def say(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def chosen(options):
    """The scenarios with their variants, as the flags have it."""
    for name in options.scenario:
        for scenario in SCENARIOS[name]:
            if scenario.load.profile == "real" and not options.corpus:
                say(f"`{scenario.name}` is left out: it needs --corpus")
                continue
            wanted = [v for v in scenario.variants if v[0] in options.systems and str(v[1]) in options.protocols]
            if wanted:
                yield scenario.with_load(options.series, options.scrapes, options.connections), wanted


def run_all(bench, plan, options):
    """Fills results as they come, so that what was measured is shown even when the rest is given up."""
    until = time.monotonic() + options.minutes * 60
    results = [(scenario, {variant: [] for variant in variants}) for scenario, variants in plan]
    lasted, failures = {}, []
    try:
        for repeat in range(max((s.repeats or options.repeats for s, _ in results), default=0)):
            for scenario, runs in results:
                for variant in list(runs):
                    if repeat >= (scenario.repeats or options.repeats):
                        continue
                    key = (scenario.name, variant)
                    if time.monotonic() + lasted.get(key, 0) > until:
                        say(f"{scenario.name}: no time is left for run {repeat + 1} of {variant[0]}, {variant[1]}.0")
                        continue
                    begun = time.monotonic()
                    try:
                        result = bench.run(scenario, variant, repeat == 0)
                    except Trouble as trouble:
                        failures.append(f"{scenario.name}, {variant[0]}, {variant[1]}.0: {trouble}")
                        say(failures[-1])
                        continue
                    lasted[key] = time.monotonic() - begun
                    runs[variant].append(result)
                    told = " ".join(f"{k}={v:.6g}" for k, v in result.items() if isinstance(v, (int, float)))
                    say(f"{scenario.name} {repeat + 1} {variant[0]} {variant[1]}.0 ({lasted[key]:.0f} s): {told}")
    except KeyboardInterrupt as stopped:
        failures.append(f"stopped before the end{': ' + str(stopped) if str(stopped) else ''}")
    return results, failures


def report(head, results, failures):
    pieces = [head]
    for scenario, runs in results:
        runs = {variant: told for variant, told in runs.items() if told}
        if not runs:
            continue
        pieces.append(f"### {scenario.title()}")
        pieces.append(markdown(scenario.rows, runs))
        if goals := goals_text(scenario.goals, scenario.rows, runs):
            pieces.append(goals)
    drains = [f"{name}: {system.DRAIN}" for name, system in SYSTEMS.items()]
    pieces.append(f"All in counts what the server uses from the first request to the end of this: {'; '.join(drains)}.")
    if failures:
        pieces.append("Runs without a figure:\n\n" + "\n".join(f"- {' '.join(text.split())}" for text in failures))
    return "\n\n".join(pieces) + "\n"


def stopped(which, _):
    raise KeyboardInterrupt("the time is over" if which == signal.SIGALRM else f"signal {which}")


def main(arguments):
    options = flags(arguments)
    work = None
    try:
        for tool in ("taskset", "df"):
            if not shutil.which(tool):
                raise Trouble(f"`{tool}` is not on the PATH")
        machine.check_cores()
        work = tempfile.mkdtemp(prefix="emberkeep-compare.")
        machine.check_place(work)
        peers = machine.find_peers(REPOSITORY, options.systems, not options.no_build)
        programs = options.programs or machine.build_ours(REPOSITORY)
        signal.signal(signal.SIGTERM, stopped)
        signal.signal(signal.SIGALRM, stopped)
        signal.alarm(int(options.minutes * 60) + GRACE_SECONDS)
        # This program and all that measures stay off the server's core.
        os.sched_setaffinity(0, {processes.CLIENT_CORE})
        # Folders are those of a machine, not of the comparison.
        shown = ["DIR" if before in ("--programs", "--corpus") else text for before, text in zip(["", *arguments], arguments)]
        head = machine.description(REPOSITORY, work, shlex.join(["benches/compare", *shown]))
        corpora = {p: os.path.join(options.corpus or "", f"prometheus-rw{p}.bin") for p in (1, 2)}
        generator = Generator(programs, work, os.path.join(work, "generator.log"), corpora, options.seed, say)
        bench = Bench(programs, peers, work, generator, not options.no_check)
        results, failures = run_all(bench, list(chosen(options)), options)
        text = report(head, results, failures)
        print(text, end="", flush=True)
        if options.append:
            with open(os.path.join(REPOSITORY, "benches", "RESULTS.md"), "a") as file:
                file.write("\n" + text)
        return 1 if failures else 0
    except (Trouble, OSError, subprocess.SubprocessError) as error:
        print(f"benches/compare: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as error:
        print(f"benches/compare: stopped {error}", file=sys.stderr)
        return 130
    finally:
        signal.alarm(0)
        processes.end_all()
        if work:
            shutil.rmtree(work, ignore_errors=True)
