"""HTTP as a client of the servers under test: bounded in time, one connection for each call.

Not for load: that is `rwgen`. It can write one sample, to see when a server takes writes again.
"""

import http.client
import socket
import threading
import time
import urllib.parse

from .figures import Trouble, exposition

WRITE_HEADERS = {
    "Content-Type": "application/x-protobuf",
    "Content-Encoding": "snappy",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
    "User-Agent": "emberkeep-compare",
}


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def call(url, method="GET", body=None, headers=None, seconds=10.0, on_piece=None):
    """(status, body); the body goes to `on_piece` when there is one. OSError or HTTPException when there is no answer."""
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=seconds)
    try:
        path = parts.path + ("?" + parts.query if parts.query else "")
        connection.request(method, path, body=body, headers=headers or {})
        answer = connection.getresponse()
        if on_piece is None:
            return answer.status, answer.read()
        while piece := answer.read(1 << 18):
            on_piece(piece)
        return answer.status, b""
    finally:
        connection.close()


def ask(url, method="GET", seconds=60.0):
    """The body of a 2xx answer; everything else is trouble."""
    try:
        status, body = call(url, method, seconds=seconds)
    except (OSError, http.client.HTTPException) as error:
        raise Trouble(f"{url}: {error}") from None
    if not 200 <= status < 300:
        raise Trouble(f"{url}: {status} {body[:300].decode(errors='replace')}")
    return body


def metrics(base):
    return exposition(ask(base + "/metrics").decode(errors="replace"))


def varint(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number, content):
    """A protobuf field of bytes."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def literal_block(content):
    """A snappy block without any compression; at most 60 bytes."""
    assert len(content) <= 60
    return varint(len(content)) + bytes([len(content) - 1 << 2]) + content


def one_sample(time_ms):
    """A remote write 1.0 body of one sample (value 0) of the series `Ready_again`."""
    label = field(1, field(1, b"__name__") + field(2, b"Ready_again"))
    sample = field(2, varint(2 << 3) + varint(time_ms))
    return literal_block(field(1, label + sample))


def await_answers(process, ready, write=None, seconds=300.0):
    """Seconds from the process' start until it says that it is ready, and until a write is acknowledged.

    Asked every 5 ms, side by side: neither question waits for the other's answer.
    """
    took, deadline = {}, time.monotonic() + seconds

    def ask_until(name, question):
        while time.monotonic() < deadline and process.is_running():
            try:
                status, _ = question()
                if 200 <= status < 300:
                    took[name] = time.monotonic() - process.begun
                    return
            except (OSError, http.client.HTTPException):
                pass
            time.sleep(0.005)

    questions = {"ready": lambda: call(ready)}
    if write:
        questions["write"] = lambda: call(write, "POST", one_sample(int(time.time() * 1000)), WRITE_HEADERS)
    threads = [threading.Thread(target=ask_until, args=item, daemon=True) for item in questions.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds + 15)
    process.check()
    if len(took) < len(questions):
        raise Trouble(f"{process.name} is not ready after {seconds:.0f} s: {process.tail()}")
    return took


class Lines:
    """Counts lines of an answer as it arrives."""

    def __init__(self):
        self.count = 0
        self.first = b""

    def __call__(self, piece):
        self.count += piece.count(b"\n")
        self.first = self.first or piece[:300]
