"""What is run: named loads with the figures that are shown of them, and the goals they are judged by."""

from dataclasses import dataclass, field, replace

from .table import OURS, Goal, Row

VM, PROMETHEUS = "victoria-metrics", "prometheus"
BOTH = ((OURS, 1), (VM, 1), (PROMETHEUS, 1), (OURS, 2), (PROMETHEUS, 2))
FIRST = ((OURS, 1), (VM, 1), (PROMETHEUS, 1))
# One protocol for each peer: what Prometheus does with 1.0 takes most of the time of a comparison, and is shown once.
LEAST = ((OURS, 1), (VM, 1), (OURS, 2), (PROMETHEUS, 2))

INGEST = (
    Row("promise", "a 2xx promises", False),
    Row("rate", "samples/s"),
    Row("p50", "ack p50, ms"),
    Row("p99", "ack p99, ms"),
    Row("p999", "ack p99.9, ms"),
    Row("cpu", "CPU-s per million, all in"),
    Row("cpu_ingest", "CPU-s per million up to the last acknowledgement"),
    Row("memory", "resident memory per series after the load, bytes"),
    Row("peak", "peak memory of it, MiB"),
    Row("bytes", "bytes per sample on disk, merged"),
    Row("apart", "logs and caches, apart, MiB", False),
    Row("kept", "kept, of what was acknowledged", False),
    Row("answers_5xx", "answers 5xx, sent again", False),
    Row("syncs", "syncs per second", False),
    Row("group", "bytes per sync, KiB", False),
    Row("sync_ms", "time of a sync, ms", False),
    Row("sync_share", "share of the time in a sync", False),
    Row("client_cpu", "CPU-s per million of the generator", False),
    Row("others", "CPU-s of everything else meanwhile", False),
)
SIZE = INGEST + (Row("bytes_stored", "bytes per sample that it made of what was sent"),)
CRASH = (
    Row("promise", "a 2xx promises", False),
    Row("acked", "samples acknowledged before `kill -9`", False),
    Row("ready", "s from the start until ready"),
    Row("write", "s from the start until a write is acknowledged"),
    Row("read", "s from the start until all of it can be read"),
    Row("lost", "samples lost that were acknowledged", False),
    Row("replay_memory", "peak memory until then, over the peak before the crash", False),
    Row("others", "CPU-s of everything else meanwhile", False),
)
LATENCY = (
    Row("promise", "a 2xx promises", False),
    Row("most", "most samples/s, closed loop"),
    Row("target", "samples/s asked for: half of it", False),
    Row("rate", "samples/s", False),
    Row("p50", "ack p50, ms"),
    Row("p99", "ack p99, ms"),
    Row("p999", "ack p99.9, ms"),
    Row("max", "longest, ms"),
    Row("probe_p50", "p50 of the probe shaped like our log, ms", False),
    Row("probe_p99", "p99 of the probe shaped like our log, ms", False),
    Row("probe_p999", "p99.9 of the probe shaped like our log, ms", False),
    Row("plain_p50", "p50 of the plain probe, ms", False),
    Row("plain_p99", "p99 of the plain probe, ms", False),
    Row("plain_p999", "p99.9 of the plain probe, ms", False),
    Row("syncs", "syncs per second", False),
    Row("group", "bytes per sync, KiB", False),
    Row("sync_ms", "time of a sync, ms", False),
    Row("duty", "share of the core used", False),
    Row("others", "CPU-s of everything else meanwhile", False),
)
READS = (
    Row("read", "remote read, streamed, samples/s (best of 3)"),
    Row("read_cpu", "CPU-s per million read"),
    Row("read_peak", "peak memory of the reading server, MiB", False),
    Row("export", "export, samples/s", False),
    Row("export_what", "exported as", False),
    Row("export_bytes", "bytes per sample exported", False),
    Row("others", "CPU-s of everything else meanwhile", False),
)
CHURN = INGEST[:-1] + (
    Row("growth", "memory late over memory early", False),
    Row("flushes", "flushes", False),
    Row("files", "files per flush", False),
    INGEST[-1],
)


@dataclass(frozen=True)
class Load:
    """What is sent, whatever the system."""

    profile: str
    series: int
    scrapes: int
    interval: int = 15
    more: tuple = ()


@dataclass(frozen=True)
class Scenario:
    """One table. `kind` says which procedure of `runs` it is."""

    name: str
    kind: str
    load: Load
    connections: int = 16
    variants: tuple = BOTH
    rows: tuple = INGEST
    goals: tuple = ()
    repeats: int = 0
    flush: str = field(default=None)

    def title(self):
        load = self.load
        samples = load.series * load.scrapes
        more = " " + " ".join(load.more) if load.more else ""
        return (
            f"`{self.name}`: {load.series:,} series x {load.scrapes:,} scrapes each {load.interval} s = {samples:,} samples, "
            f"{load.profile}{more}, {self.connections} connections"
        )

    def with_load(self, series, scrapes, connections):
        load = replace(self.load, series=series or self.load.series, scrapes=scrapes or self.load.scrapes)
        return replace(self, load=load, connections=connections or self.connections)


HUNDRED = Load("node", 100_000, 40)
MILLION = Load("node", 1_000_000, 4)
SMALLER = (Goal("bytes", VM, 1, 1.0), Goal("bytes_stored", VM, 1, 1.0))

SCENARIOS = {
    "10k": [Scenario("10k", "ingest", Load("node", 10_000, 1920), 4, LEAST, goals=(Goal("cpu", VM, 1, 0.3),))],
    "100k": [
        Scenario(
            "100k", "ingest", HUNDRED, 16,
            goals=(Goal("cpu", VM, 1, 0.15), Goal("cpu", PROMETHEUS, 2, 0.15), Goal("rate", VM, 1, 5.0, at_least=True)),
        ),
        Scenario("100k-4", "ingest", HUNDRED, 4),
    ],
    "1m": [
        Scenario(
            "1m", "ingest", MILLION, 16, LEAST, goals=(Goal("rate", VM, 1, 15.0, at_least=True), Goal("memory", VM, 1, 0.4))
        )
    ],
    "crash": [Scenario("crash", "crash", MILLION, 16, LEAST, CRASH, repeats=1)],
    "latency": [
        Scenario(
            "latency", "latency", Load("node", 100_000, 100), 16, FIRST, LATENCY,
            (Goal("p99", "probe", 1, 3.0), Goal("p99", "plain", 1, 3.0)), repeats=5,
        )
    ],
    "size": [
        Scenario("size-real-5s", "ingest", Load("real", 4_440, 5760, 5), 4, LEAST, SIZE, SMALLER, repeats=1),
        Scenario("size-real-15s", "ingest", Load("real", 11_100, 1920, 15), 4, LEAST, SIZE, SMALLER, repeats=1),
        Scenario("size-busy", "ingest", Load("busy", 10_000, 1920), 4, LEAST, SIZE, SMALLER, repeats=1),
    ],
    "reads": [Scenario("reads", "reads", Load("node", 10_000, 300), 4, LEAST, READS, repeats=1)],
    "churn": [
        Scenario("churn", "ingest", Load("node", 10_000, 960, more=("--churn", "10")), 4, LEAST, CHURN, repeats=1, flush="1s")
    ],
}
