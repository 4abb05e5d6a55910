"""Processes: started on one core, measured by what the kernel says of them, and always ended.

Every process is ended by its own id. It also ends when this program is killed: the kernel is asked for that at the start. Every wait
is bounded.
"""

import ctypes
import os
import select
import signal
import statistics
import subprocess
import threading
import time

from .figures import Trouble

TICK = os.sysconf("SC_CLK_TCK")
SERVER_CORE, CLIENT_CORE = 0, 1
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)

# What is still to be ended.
RUNNING = {}


def tail(path):
    """The end of a log."""
    with open(path, "rb") as log:
        log.seek(max(0, os.path.getsize(path) - 1500))
        return log.read().decode(errors="replace").strip()


def _end_with_parent():
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Process:
    """One program on one core; what it writes goes to a file, of which the end is shown when it fails."""

    def __init__(self, name, command, log, core=SERVER_CORE, output=None):
        self.name, self.log = name, log
        with open(log, "ab") as errors:
            self.begun = time.monotonic()
            self.child = subprocess.Popen(
                ["taskset", "-c", str(core), *map(str, command)],
                stdin=subprocess.DEVNULL,
                stdout=output or errors,
                stderr=errors,
                preexec_fn=_end_with_parent,
                # What a program says of an error is read here; a backtrace would push it out of the end of the log.
                env=os.environ | {"RUST_BACKTRACE": "0"},
            )
        self.pid = self.child.pid
        self.handle = os.pidfd_open(self.pid)
        self.cpu_of_life = None
        RUNNING[self.pid] = self

    def is_running(self):
        return not select.select([self.handle], [], [], 0)[0]

    def tail(self):
        return tail(self.log)

    def check(self):
        if not self.is_running():
            raise Trouble(f"{self.name} ended by itself: {self.tail()}")

    def wait(self, seconds, expected=0):
        """Waits for its end: sets `cpu_of_life`, in seconds; any other status than `expected` (None: any) is trouble."""
        if not select.select([self.handle], [], [], seconds)[0]:
            self.kill()
            raise Trouble(f"{self.name} did not end within {seconds:.0f} s: {self.tail()}")
        self._reap()
        if expected is not None and self.child.returncode != expected:
            raise Trouble(f"{self.name} ended with status {self.child.returncode}: {self.tail()}")

    def _reap(self):
        _, status, used = os.wait4(self.pid, 0)
        self.child.returncode = os.waitstatus_to_exitcode(status)
        self.cpu_of_life = used.ru_utime + used.ru_stime
        os.close(self.handle)
        del RUNNING[self.pid]

    def signal(self, which):
        os.kill(self.pid, which)

    def kill(self):
        """`kill -9`, now."""
        if self.pid in RUNNING:
            self.signal(signal.SIGKILL)
            self._reap()

    def cpu(self):
        """User and system time so far, in seconds."""
        with open(f"/proc/{self.pid}/stat") as stat:
            # The name may hold blanks and brackets: fields are counted after the last bracket.
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def _status(self, name):
        with open(f"/proc/{self.pid}/status") as status:
            for line in status:
                if line.startswith(name + ":"):
                    return int(line.split()[1]) * 1024
        return 0

    def anonymous(self):
        """Resident memory that is no page of a file, in bytes."""
        return self._status("RssAnon")

    def peak(self):
        """Most resident memory of its life, pages of files included, in bytes."""
        return self._status("VmHWM")

    def await_idle(self, seconds, tired=0.03):
        """Waits until it uses less than `tired` cores over a second, twice: whatever it began is done."""
        deadline, quiet = time.monotonic() + seconds, 0
        while quiet < 2:
            self.check()
            before = self.cpu()
            time.sleep(1)
            quiet = quiet + 1 if self.cpu() - before <= tired else 0
            if time.monotonic() > deadline:
                raise Trouble(f"{self.name} is still busy after {seconds:.0f} s")


def end_all():
    for process in list(RUNNING.values()):
        process.kill()


def run(name, command, log, core=CLIENT_CORE, seconds=600, expected=0, while_running=None):
    """Runs a program to its end: (what it printed, its CPU seconds, its status)."""
    reader, writer = os.pipe()
    try:
        process = Process(name, command, log, core, output=writer)
    finally:
        os.close(writer)
    pieces = []

    def collect():
        with os.fdopen(reader, "rb") as pipe:
            pieces.append(pipe.read())

    thread = threading.Thread(target=collect, daemon=True)
    thread.start()
    try:
        process.wait(seconds, expected)
    except Trouble as trouble:
        thread.join(5)
        raise Trouble(f"{trouble} {b''.join(pieces)[-500:].decode(errors='replace')}") from None
    thread.join(5)
    return b"".join(pieces).decode(errors="replace"), process.cpu_of_life, process.child.returncode


class Watch:
    """Watches the anonymous memory of a process, ten times a second, on the client's core."""

    def __init__(self, process):
        self.process, self.seen, self.stopped = process, [], threading.Event()

    def __enter__(self):
        self.thread = threading.Thread(target=self._look, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        self.thread.join()

    def _look(self):
        while not self.stopped.wait(0.1):
            try:
                self.seen.append(self.process.anonymous())
            except OSError:
                return

    def peak(self):
        return max(self.seen, default=None)

    def growth(self):
        """Memory in the last quarter of the time over that in the second; about 1 when it is flat."""
        quarter = len(self.seen) // 4
        if quarter < 2:
            return None
        return statistics.median(self.seen[-quarter:]) / max(1, statistics.median(self.seen[quarter : 2 * quarter]))


class Others:
    """What everything else on the machine used meanwhile, in CPU seconds: the noise of a run."""

    def __init__(self, *processes):
        self.processes = processes
        self.machine, self.own = self._machine(), self._own()
        self.living = sum(process.cpu() for process in processes)

    @staticmethod
    def _machine():
        with open("/proc/stat") as stat:
            fields = [int(field) for field in stat.readline().split()[1:9]]
        user, nice, system, _, _, interrupts, soft, stolen = fields
        return (user + nice + system + interrupts + soft + stolen) / TICK

    @staticmethod
    def _own():
        times = os.times()
        return times.user + times.system + times.children_user + times.children_system

    def seconds(self):
        living = sum(process.cpu() for process in self.processes) - self.living
        return max(0.0, self._machine() - self.machine - (self._own() - self.own) - living)
