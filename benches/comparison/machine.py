"""The machine and the programs: what a figure must be told with, and what must be there before anything is measured."""

import datetime
import os
import shlex
import subprocess
import sys

from .figures import Trouble

PEERS = {
    "victoria-metrics": "victoria-metrics-1.150/victoria-metrics",
    "prometheus": "prometheus-3.14/prometheus",
}


def output_of(*command, default=None, **more):
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60, **more).stdout.strip()
    except (OSError, subprocess.SubprocessError) as error:
        if default is None:
            raise Trouble(f"`{shlex.join(command)}` failed: {error}") from None
        return default


def cache():
    """As tests/peers/build has it."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.environ.get("EMBERKEEP_CACHE") or os.path.join(base, "emberkeep")


def find_peers(repository, wanted, is_building):
    """The programs of the peers; one that is missing is built."""
    found = {}
    for name in wanted:
        if name not in PEERS:
            continue
        path = os.path.join(cache(), "peers", PEERS[name])
        if not os.access(path, os.X_OK) and is_building:
            build = os.path.join(repository, "tests", "peers", "build")
            subprocess.run([build, name], check=True, timeout=1800, stdout=sys.stderr)
        if not os.access(path, os.X_OK):
            raise Trouble(f"`{path}` is missing: run `tests/peers/build {name}`, or leave it out with `--systems`")
        found[name] = path
    return found


def build_ours(repository):
    """Release builds of what is measured and of what measures: the folder they are in."""
    command = ["cargo", "build", "--release", "--locked", "-p", "emberkeep", "-p", "emberkeep-rwgen", "-p", "emberkeep-benches"]
    command += [word for name in ("emberkeep", "rwgen", "readback", "syncprobe") for word in ("--bin", name)]
    if subprocess.run(command, cwd=repository, timeout=3600, stdout=sys.stderr).returncode:
        raise Trouble("our own build failed")
    return os.path.join(os.environ.get("CARGO_TARGET_DIR") or os.path.join(repository, "target"), "release")


def check_place(work):
    """A sync to memory costs nothing: figures from there would be none."""
    kind = output_of("df", "--output=fstype", work).splitlines()[-1]
    if kind in ("tmpfs", "ramfs"):
        raise Trouble(f"`{work}` is memory, not a disk: set TMPDIR to a folder on a disk")
    return kind


def check_cores():
    if not {0, 1} <= os.sched_getaffinity(0):
        raise Trouble("cores 0 and 1 are needed, one for the server and one for the generator")


def revision(repository):
    commit = output_of("git", "-C", repository, "rev-parse", "--short", "HEAD", default="unknown")
    changes = output_of("git", "-C", repository, "status", "--porcelain", "--untracked-files=no", default="")
    return commit + (" with changes" if changes else "")


def description(repository, work, command):
    """The heading and the paragraph that go before the tables."""
    with open("/proc/cpuinfo") as info:
        model = next((line.split(":", 1)[1].strip() for line in info if line.startswith("model name")), "unknown processor")
    with open("/proc/meminfo") as info:
        memory = round(int(info.readline().split()[1]) / (1 << 20))
    device = output_of("df", "--output=source", work, default="?").splitlines()[-1]
    now = datetime.datetime.now(datetime.timezone.utc)
    return (
        f"## {now:%Y-%m-%d %H:%M} UTC, commit {revision(repository)}\n\n"
        f"`{command}`\n\n"
        f"{model}, {os.cpu_count()} cores, {memory} GB, Linux {os.uname().release}, {check_place(work)} on {device}."
        f" Load of the machine at the start: {os.getloadavg()[0]:.1f}."
    )
