"""The load: `rwgen` (encode once, send to each server), `readback`, `syncprobe`. All on the client's core but the probe."""

import os
import time

from . import processes
from .figures import Trouble, key_values

HOUR_MS, DAY_MS = 3_600_000, 86_400_000


def end_of_data(now_ms):
    """Of the last day that ended more than four hours ago, an hour before its end: late enough for eight hours of one day, and so long
    ago that whoever merges days merges this one. What is written later is apart from it."""
    return (now_ms - 4 * HOUR_MS) // DAY_MS * DAY_MS - HOUR_MS


class Generator:
    """Files of requests in `folder`, each encoded once for a comparison: every system gets the same bytes."""

    def __init__(self, programs, folder, log, corpora, seed, say):
        self.programs, self.folder, self.log = programs, folder, log
        self.corpora, self.seed, self.say = corpora, seed, say
        self.files = {}

    def program(self, name):
        return os.path.join(self.programs, name)

    def file(self, load, protocol, connections):
        """The file of this load; it is encoded when it is not there."""
        key = (load, protocol, connections)
        if key in self.files:
            return self.files[key]
        output = os.path.join(self.folder, f"requests-{len(self.files)}")
        start = end_of_data(int(time.time() * 1000)) - load.scrapes * load.interval * 1000
        command = [self.program("rwgen"), "encode", "--profile", load.profile, "--protocol", protocol, "--seed", self.seed]
        command += ["--series", load.series, "--scrapes", load.scrapes, "--interval", f"{load.interval}s"]
        command += ["--connections", connections, "--start", start, "--output", output, *load.more]
        if load.profile == "real":
            command += ["--corpus", self.corpora[protocol]]
        self.say(f"encoding {load.series:,} series x {load.scrapes:,} ({load.profile}), {protocol}.0, {connections} connections")
        processes.run("rwgen encode", command, self.log, seconds=900)
        self.files[key] = output
        return output

    def requests_of(self, file, scrapes):
        """How many requests of a file hold its first scrapes; a request may reach into the next."""
        info = key_values(processes.run("rwgen info", [self.program("rwgen"), "info", file], self.log)[0])
        return -(-info["requests"] * scrapes // info["scrapes"])

    def send(self, file, server, connections, rate=None, limit=None, requests=None, seconds=900):
        """Sends a file, or those of its requests (`FROM..TO`): what `rwgen` says of it."""
        command = [self.program("rwgen"), "send", file, "--url", server.write_url, "--connections", connections, "--retry"]
        if rate:
            command += ["--rate", int(rate)]
        if limit:
            command += ["--limit-seconds", limit]
        if requests:
            command += ["--requests", requests]
        try:
            output, _, _ = processes.run("rwgen send", command, self.log, seconds=seconds)
        except Trouble:
            server.process.check()
            raise
        return key_values(output)

    def check(self, file, server):
        """None when the server has exactly what was sent, else what `rwgen` says is wrong."""
        command = [self.program("rwgen"), "check", file, "--url", server.read_url]
        # All but the sample by which readiness is seen: `Ready_again`.
        command += ["--metrics", "[^R].*"]
        output, _, status = processes.run("rwgen check", command, self.log, expected=None)
        if status == 0:
            return None
        # One line of counts, then the series that differ.
        return output.strip()[:500] if status == 2 else f"`rwgen check` failed with status {status}: {processes.tail(self.log)}"

    def read_back(self, server, start_ms, end_ms, expect=None):
        """Reads everything of a range through streamed remote read: what `readback` says of it."""
        command = [self.program("readback"), "--url", server.read_url, "--metrics", ".+", "--start", start_ms, "--end", end_ms]
        if expect is not None:
            command += ["--expect", expect]
        return key_values(processes.run("readback", command, self.log)[0])

    def probe(self, folder, group_bytes, rate, duty, seconds, is_direct):
        """Times of syncs shaped like a server's group commit, on the server's core."""
        command = [self.program("syncprobe"), "--directory", folder, "--group-bytes", int(group_bytes), "--rate", f"{rate:.1f}"]
        command += ["--duty", f"{duty:.3f}", "--seconds", seconds]
        command += ["--direct"] if is_direct else []
        output = processes.run("syncprobe", command, self.log, processes.SERVER_CORE, seconds=seconds * 4 + 60)[0]
        return key_values(output)
