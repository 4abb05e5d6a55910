"""The procedures: one run of one system, from an empty folder to one set of figures."""

import os
import re
import shutil
import time

from . import network, processes
from .figures import Trouble, total_of
from .systems import SYSTEMS, Emberkeep, VictoriaMetrics, bytes_in

MIB = 1 << 20
# Scrapes that a server gets before its latency is measured.
WARM_SCRAPES = 2
SYNC_SECONDS = re.compile(r"emberkeep_receiver_wal_\w*sync\w*seconds(_sum|_total)$")


class Bench:
    """Where things are. A run leaves nothing behind, whatever happens in it."""

    def __init__(self, programs, peers, work, generator, is_checking):
        self.programs = {Emberkeep.NAME: os.path.join(programs, "emberkeep")} | peers
        self.work, self.generator, self.is_checking = work, generator, is_checking
        # Most samples per second of a variant, by the load it was measured with.
        self.most = {}

    def server(self, name, **more):
        log = os.path.join(self.work, f"{name}.log")
        return SYSTEMS[name](self.programs[name], os.path.join(self.work, name), network.free_port(), log, **more)

    def run(self, scenario, variant, is_first):
        """Figures of one run; `is_first`: the peers are checked for completeness, too."""
        name, protocol = variant
        file = self.generator.file(scenario.load, protocol, scenario.connections)
        server = self.server(name, **({"flush": scenario.flush} if scenario.flush and name == Emberkeep.NAME else {}))
        # What the last server left to be written back must not slow this one down.
        os.sync()
        try:
            server.start()
            return {"promise": server.PROMISE} | KINDS[scenario.kind](self, scenario, variant, server, file, is_first)
        except OSError as error:
            raise Trouble(f"{name}: {error}") from None
        finally:
            server.remove()


def acknowledgements(sent):
    return {"rate": sent["samples_per_second"]} | {key: sent.get(f"ack_{key}_ms") for key in ("p50", "p99", "p999", "max")}


def syncs_of(server, before, seconds):
    """What our server says of its log since `before`; of others nothing is known."""
    if server.NAME != Emberkeep.NAME:
        return {}
    # Its page is brought up to date twice a second.
    time.sleep(1.2)
    after = network.metrics(server.base)

    def grown(name):
        now = total_of(after, name)
        return None if now is None else now - (total_of(before, name) or 0)

    syncs, written = grown("emberkeep_receiver_wal_syncs_total"), grown("emberkeep_receiver_wal_bytes_total")
    if not syncs:
        return {}
    told = {"syncs": syncs / seconds, "group": written / syncs / 1024 if written else None}
    name = next((key for key in after if SYNC_SECONDS.match(key)), None)
    if name and (spent := grown(name)):
        told |= {"sync_ms": spent / syncs * 1000, "sync_share": spent / seconds}
    return told


def load(bench, scenario, server, file, **how):
    """Sends the file and measures the server meanwhile: (what `rwgen` says, figures, CPU seconds before)."""
    before = network.metrics(server.base)
    cpu, memory, others = server.process.cpu(), server.process.anonymous(), processes.Others(server.process)
    with processes.Watch(server.process) as watch:
        sent = bench.generator.send(file, server, scenario.connections, **how)
        after = server.process.anonymous()
    used = server.process.cpu() - cpu
    told = acknowledgements(sent) | {
        "cpu_ingest": used * 1e6 / sent["samples"],
        "memory": (after - memory) / scenario.load.series,
        "peak": max(watch.peak() or 0, after) / MIB,
        "growth": watch.growth(),
        "answers_5xx": sent.get("answers_5xx"),
        "client_cpu": sent.get("cpu_seconds_per_million"),
        "duty": used / sent["seconds"],
        "others": others.seconds(),
    }
    return sent, told | syncs_of(server, before, sent["seconds"]), cpu


def kept(bench, server, file, sent):
    """What there is of what was sent. Of ours, and of Prometheus, each sample's value is compared, too."""
    samples = sent["samples"]
    if server.read_url is None:
        there = server.count(sent["start_ms"], sent["end_ms"])
        if there > samples:
            # VictoriaMetrics has no native histograms, and makes several series of one.
            words = f"{there - samples:,} more (native histograms become several)"
        else:
            words = f"**{samples - there:,} missing**" if there < samples else "all (counted)"
        return {"kept": words, "stored": there}
    wrong = bench.generator.check(file, server)
    if wrong and server.NAME == Emberkeep.NAME:
        raise Trouble(f"emberkeep does not have what it acknowledged: {wrong}")
    return {"kept": f"**not all**: {wrong.splitlines()[0]}" if wrong else "all (compared)", "stored": samples}


def ingest(bench, scenario, variant, server, file, is_first):
    sent, told, cpu = load(bench, scenario, server, file)
    if server.NAME == Emberkeep.NAME:
        told["flushes"] = total_of(network.metrics(server.base), "emberkeep_receiver_flushes_total")
    told["cpu"] = (server.drain() - cpu) * 1e6 / sent["samples"]
    if server.NAME == Emberkeep.NAME:
        archive = os.walk(os.path.join(server.data, "archive"))
        files = sum(name.endswith(".parquet") for _, _, names in archive for name in names)
        # The drain flushes once more.
        told["files"] = files / (told["flushes"] + 1)
        data, apart = server.sizes()
        if bench.is_checking:
            server.start()
            told |= kept(bench, server, file, sent)
    else:
        if bench.is_checking and is_first:
            told |= kept(bench, server, file, sent)
        server.stop()
        data, apart = server.sizes()
    if told.get("stored"):
        told["bytes_stored"] = data / told["stored"]
    return told | {"bytes": data / sent["samples"], "apart": apart / MIB}


def crash(bench, scenario, variant, server, file, _):
    others = processes.Others()
    sent = bench.generator.send(file, server, scenario.connections)
    before = server.process.peak()
    server.process.kill()
    took = server.start(is_writing=True)
    if server.read_url:
        there, took["read"] = read_when_possible(bench, server, sent)
    else:
        there = server.count(sent["start_ms"], sent["end_ms"])
    after = server.process.peak()
    lost = sent["samples"] - there
    if lost and server.NAME == Emberkeep.NAME:
        raise Trouble(f"emberkeep lost {lost:,} of {sent['samples']:,} acknowledged samples")
    if bench.is_checking and server.NAME == Emberkeep.NAME:
        kept(bench, server, file, sent)
    told = took | {"acked": sent["samples"], "lost": lost, "replay_memory": after / before}
    server.process.kill()
    return told | {"others": others.seconds()}


def read_when_possible(bench, server, sent, seconds=300):
    """(samples that are there, seconds from the start until a read was answered): 503 says that the log is still being replayed."""
    deadline = time.monotonic() + seconds
    while True:
        asked = time.monotonic()
        try:
            return bench.generator.read_back(server, sent["start_ms"], sent["end_ms"])["samples"], asked - server.process.begun
        except Trouble as trouble:
            if "answered 503" not in str(trouble) or asked > deadline:
                raise
        server.process.check()
        time.sleep(0.05)


def latency(bench, scenario, variant, server, file, _):
    """Open loop at half of the most that this system can take, which the first run finds out; then the probes of the disk. All series
    are known when it begins."""
    key = (scenario.load, variant)
    if key not in bench.most:
        bench.most[key] = bench.generator.send(file, server, scenario.connections, limit=8)["samples_per_second"]
        server.remove()
        server.start()
    most = bench.most[key]
    # New series cost more than known ones, and their scrape would be behind any schedule: it goes ahead, in a closed loop.
    ahead = bench.generator.requests_of(file, WARM_SCRAPES)
    bench.generator.send(file, server, scenario.connections, requests=f"..{ahead}")
    _, told, _ = load(bench, scenario, server, file, rate=most / 2, limit=8, requests=f"{ahead}..")
    told |= {"most": most, "target": most / 2}
    server.process.kill()
    if told.get("group"):
        for name, is_direct in (("probe", True), ("plain", False)):
            shape = (told["group"] * 1024, told["syncs"], min(told["duty"], 0.95))
            probe = bench.generator.probe(bench.work, *shape, seconds=8, is_direct=is_direct)
            told |= {f"{name}_{key}": probe[f"{key}_ms"] for key in ("p50", "p99", "p999")}
    return told


def reads(bench, scenario, variant, server, file, _):
    sent = bench.generator.send(file, server, scenario.connections)
    samples, span = sent["samples"], (sent["start_ms"], sent["end_ms"])
    told, others = {}, processes.Others()
    if server.NAME == VictoriaMetrics.NAME:
        server.flush()
        begun = time.monotonic()
        size = server.export_native(*span)
        told |= {"export": samples / (time.monotonic() - begun), "export_bytes": size / samples, "export_what": "its native format"}
        return told | {"others": others.seconds()}
    if server.NAME == Emberkeep.NAME:
        server.drain()
        server.start()
    rates = []
    before = server.process.cpu()
    with processes.Watch(server.process) as watch:
        for _ in range(3):
            rates.append(bench.generator.read_back(server, *span, expect=samples)["samples_per_second"])
    told |= {"read": max(rates), "read_cpu": (server.process.cpu() - before) / 3 * 1e6 / samples}
    told["read_peak"] = (watch.peak() or server.process.anonymous()) / MIB
    if server.NAME == Emberkeep.NAME:
        server.stop()
        told |= export_blocks(bench, server, samples, span)
    else:
        server.drain()
        told |= {"export": samples / server.snapshot_seconds, "export_what": "snapshot, from memory"}
        server.stop()
        told["export_bytes"] = server.sizes()[0] / samples
    return told | {"others": others.seconds()}


def export_blocks(bench, server, samples, span):
    blocks = os.path.join(bench.work, "blocks")
    command = [server.program, "reader", "export-tsdb", "--storage.path", server.data, "--log.level", "warn", "--output", blocks]
    command += ["--from", span[0] // 1000 - 1, "--to", span[1] // 1000 + 1]
    try:
        begun = time.monotonic()
        processes.run("export-tsdb", command, server.log, processes.SERVER_CORE)
        seconds = time.monotonic() - begun
        return {"export": samples / seconds, "export_bytes": bytes_in(blocks) / samples, "export_what": "TSDB blocks, read back and compared"}
    finally:
        shutil.rmtree(blocks, ignore_errors=True)


KINDS = {"ingest": ingest, "crash": crash, "latency": latency, "reads": reads}
