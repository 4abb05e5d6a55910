"""The servers: how each is started, drained, sized and asked what it kept. Default settings, but for what a flag below says.

What one 2xx promises is in `PROMISE`; no figure may stand without it.
"""

import json
import os
import shutil
import signal
import time
import urllib.parse

from . import network, processes
from .figures import Trouble, total_of


def bytes_in(*folders):
    """Length of all files, each once however many names it has."""
    seen = {}
    for folder in folders:
        for place, _, names in os.walk(folder):
            for name in names:
                about = os.lstat(os.path.join(place, name))
                seen[about.st_ino] = about.st_size
    return sum(seen.values())


class System:
    """One server with its data in `data`; it is started, perhaps killed and started again, and ended."""

    NAME = PROMISE = DRAIN = ""
    READY = "/-/ready"
    READ = None
    PROTOCOLS = (1, 2)

    def __init__(self, program, data, port, log):
        self.program, self.data, self.log = program, data, log
        self.base = f"http://127.0.0.1:{port}"
        self.address = f"127.0.0.1:{port}"
        self.write_url = self.base + "/api/v1/write"
        self.read_url = self.READ and self.base + self.READ
        self.process = None

    def command(self):
        raise NotImplementedError

    def start(self, is_writing=False):
        """Starts it: seconds until it was ready, and until it acknowledged a write when one is to be tried."""
        self.process = processes.Process(self.NAME, self.command(), self.log)
        return network.await_answers(self.process, self.base + self.READY, self.write_url if is_writing else None)

    def stop(self):
        self.process.signal(signal.SIGTERM)
        self.process.wait(120)

    def drain(self):
        """Brings everything to where it stays on disk: CPU seconds of the server since its start."""
        raise NotImplementedError

    def sizes(self):
        """(bytes of data, bytes of logs and caches), once drained and stopped."""
        raise NotImplementedError

    def remove(self):
        if self.process:
            self.process.kill()
        shutil.rmtree(self.data, ignore_errors=True)


class Emberkeep(System):
    NAME = "emberkeep"
    PROMISE = "synced to the device (`fdatasync`)"
    DRAIN = "flush and commit of everything (SIGUSR1), then `compactor run --once`"
    READ = "/api/v1/read"

    def __init__(self, *args, flush=None):
        super().__init__(*args)
        self.flush = flush

    def command(self):
        more = ["--flush.interval", self.flush] if self.flush else []
        return [self.program, "--storage.path", self.data, "--web.listen-address", self.address, "--log.level", "warn", *more]

    def drain(self):
        self.process.signal(signal.SIGUSR1)
        self.process.wait(300)
        _, cpu, _ = processes.run("emberkeep compactor", self.compact(), self.log, processes.SERVER_CORE)
        return self.process.cpu_of_life + cpu

    def compact(self):
        return [self.program, "compactor", "run", "--once", "--storage.path", self.data, "--log.level", "warn"]

    def sizes(self):
        archive = bytes_in(os.path.join(self.data, "archive"))
        # What was merged is kept until the undelete window ends: it stands apart, as soon as there is anything merged.
        if os.path.isdir(os.path.join(self.data, "archive", "samples")):
            archive -= bytes_in(os.path.join(self.data, "archive", "_archive", "level0"))
        return archive, bytes_in(self.data) - archive


class VictoriaMetrics(System):
    NAME = "victoria-metrics"
    PROMISE = "in memory; on disk within some 5 s"
    DRAIN = "/internal/force_flush, all of memory on disk, one /internal/force_merge"
    READY = "/health"
    PROTOCOLS = (1,)

    def command(self):
        flags = [f"-storageDataPath={self.data}", f"-httpListenAddr={self.address}", "-retentionPeriod=10y", "-loggerLevel=WARN"]
        return [self.program, *flags]

    def _await(self, what, is_done, seconds=120):
        deadline = time.monotonic() + seconds
        while not is_done(network.metrics(self.base)):
            self.process.check()
            if time.monotonic() > deadline:
                raise Trouble(f"victoria-metrics: {what} is not done after {seconds} s")
            time.sleep(0.2)

    def flush(self):
        network.ask(self.base + "/internal/force_flush")
        memory = ('vm_rows{type="storage/inmemory"}', 'vm_rows{type="indexdb/inmemory"}')
        # A merge that is asked for while another runs does nothing at all.
        self._await("the flush", lambda page: not any(page.get(key) for key in memory) and not total_of(page, "vm_active_merges"))

    def drain(self):
        self.flush()
        network.ask(self.base + "/internal/force_merge")
        time.sleep(0.5)
        self._await("the merge", lambda page: not page.get("vm_active_force_merges") and not total_of(page, "vm_active_merges"), 600)
        self.process.await_idle(120)
        return self.process.cpu()

    def sizes(self):
        cache = bytes_in(os.path.join(self.data, "cache"))
        return bytes_in(self.data) - cache, cache

    def count(self, start_ms, end_ms):
        """Samples that it has: the lines of an export, since it has no remote read."""
        network.ask(self.base + "/internal/force_flush")
        lines = network.Lines()
        question = {"match[]": '{__name__!=""}', "format": "__timestamp__:unix_ms,__value__"}
        question |= {"start": start_ms / 1000, "end": end_ms / 1000}
        url = self.base + "/api/v1/export/csv?" + urllib.parse.urlencode(question)
        status, _ = network.call(url, seconds=300, on_piece=lines)
        if status != 200:
            raise Trouble(f"victoria-metrics: the export answered {status}: {lines.first!r}")
        # The first line names the columns.
        return max(0, lines.count - 1)

    def export_native(self, start_ms, end_ms):
        """Bytes of an export in its own format."""
        size = [0]

        def add(piece):
            size[0] += len(piece)

        question = {"match[]": '{__name__!=""}', "start": start_ms / 1000, "end": end_ms / 1000}
        status, _ = network.call(self.base + "/api/v1/export/native?" + urllib.parse.urlencode(question), seconds=300, on_piece=add)
        if status != 200:
            raise Trouble(f"victoria-metrics: the native export answered {status}")
        return size[0]


class Prometheus(System):
    NAME = "prometheus"
    PROMISE = "in the page cache; survives `kill -9`, not a loss of power"
    DRAIN = "the head written as a block by /api/v1/admin/tsdb/snapshot"
    READ = "/api/v1/read"

    def command(self):
        os.makedirs(self.data, exist_ok=True)
        file = os.path.join(self.data, "prometheus.yml")
        with open(file, "w") as config:
            config.write("global: {}\n")
        flags = [f"--config.file={file}", f"--storage.tsdb.path={self.data}/tsdb", f"--web.listen-address={self.address}"]
        flags += ["--web.enable-remote-write-receiver", "--web.enable-admin-api", "--log.level=warn"]
        # Time alone removes nothing, as with the others.
        return [self.program, *flags, "--storage.tsdb.retention.time=10y"]

    def drain(self):
        begun = time.monotonic()
        answer = network.ask(self.base + "/api/v1/admin/tsdb/snapshot?skip_head=false", "POST", seconds=600)
        self.snapshot_seconds = time.monotonic() - begun
        self.snapshot = os.path.join(self.data, "tsdb", "snapshots", json.loads(answer)["data"]["name"])
        self.process.await_idle(120)
        return self.process.cpu()

    def sizes(self):
        """Blocks with the head in them; the log and the head's chunks apart."""
        tsdb = os.path.join(self.data, "tsdb")
        return bytes_in(self.snapshot), bytes_in(os.path.join(tsdb, "wal"), os.path.join(tsdb, "chunks_head"))


SYSTEMS = {system.NAME: system for system in (Emberkeep, VictoriaMetrics, Prometheus)}
