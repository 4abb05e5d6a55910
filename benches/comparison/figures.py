"""Numbers: reading them from what programs print, and what is said of several of them.

Pure: no file, no process, no clock, so that all of it is tested without a server.
"""

import re
import statistics

SAMPLE = re.compile(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{.*\})?\s+(\S+)")


class Trouble(Exception):
    """A run that gives no figure; the text says what happened and where."""


def key_values(text):
    """The last line of `key=value` pairs, numbers as numbers."""
    lines = [line for line in text.splitlines() if "=" in line]
    if not lines:
        raise Trouble(f"no line of `key=value` pairs in {text[-300:]!r}")
    pairs = {}
    for word in lines[-1].split():
        key, mark, value = word.partition("=")
        if not mark:
            continue
        try:
            pairs[key] = float(value) if any(c in value for c in ".eEn") else int(value)
        except ValueError:
            pairs[key] = value
    return pairs


def exposition(text):
    """A `/metrics` page: name with its labels as written -> value."""
    page = {}
    for line in text.splitlines():
        found = SAMPLE.match(line)
        if found:
            try:
                page[found[1] + (found[2] or "")] = float(found[3])
            except ValueError:
                continue
    return page


def total_of(page, name):
    """Sum over all label sets of a metric; None when there is none."""
    values = [value for key, value in page.items() if key.split("{", 1)[0] == name]
    return sum(values) if values else None


def spread(values):
    """(median, least, most) of what is there; None of nothing."""
    values = [value for value in values if value is not None]
    if not values:
        return None
    return statistics.median(values), min(values), max(values)


def ratio(ours, theirs):
    """Ours over theirs; None when there is no meaning in it."""
    if ours is None or not theirs:
        return None
    return ours / theirs


def number(value):
    """Three digits that count, thousands apart: `1,248,193` is told as `1,250,000`, `0.00456` as `0.00456`."""
    if value is None:
        return "-"
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1000:
        digits = len(str(int(size))) - 3
        return f"{round(value / 10**digits) * 10**digits:,}"
    if size >= 100:
        return f"{value:.0f}"
    if size >= 10:
        return f"{value:.1f}"
    if size >= 1:
        return f"{value:.2f}"
    return f"{value:.3g}"


def with_range(values):
    """`median (least-most)`, or the one value there is."""
    told = spread(values)
    if told is None:
        return "-"
    median, least, most = (number(value) for value in told)
    return median if least == most else f"{median} ({least}-{most})"
