"""Markdown: one table for a scenario, ratios in the cells of the peers, and the goals below. Pure, as `figures`."""

from dataclasses import dataclass

from .figures import number, ratio, spread, with_range

OURS = "emberkeep"
# No systems: figures of them stand in our own results, as `probe_<key>`.
PROBES = {"probe": "that of the probe shaped like our log", "plain": "that of the plain probe"}


@dataclass(frozen=True)
class Row:
    """One figure: its key in the results of a run, what it is called, and whether a ratio of it means anything."""

    key: str
    title: str
    has_ratio: bool = True


@dataclass(frozen=True)
class Goal:
    """`row` of ours, with `protocol`, shall be at most (or at least) `factor` times that of `peer`, which may be a probe."""

    key: str
    peer: str
    protocol: int
    factor: float
    at_least: bool = False


def median_of(results, key):
    told = spread([result.get(key) for result in results])
    return told[0] if told else None


def name_of(variant):
    system, protocol = variant
    names = {OURS: "Emberkeep", "victoria-metrics": "VictoriaMetrics 1.150", "prometheus": "Prometheus 3.14"}
    return f"{names[system]}, {protocol}.0"


def cell(row, variant, runs):
    """What one system has in one row, and how many times its figure ours (of the same protocol) is."""
    values = [run.get(row.key) for run in runs[variant]]
    words = {value for value in values if isinstance(value, str)}
    if words:
        return "; ".join(sorted(words))
    text = with_range(values)
    ours = runs.get((OURS, variant[1]))
    if variant[0] == OURS or not row.has_ratio or not ours:
        return text
    times = ratio(median_of(ours, row.key), median_of(runs[variant], row.key))
    return text if times is None else f"{text} [{number(times)}]"


def markdown(rows, runs):
    """The table; a row that no system has is left out."""
    variants = list(runs)
    lines = [
        "| | " + " | ".join(name_of(variant) for variant in variants) + " |",
        "|---|" + "---|" * len(variants),
    ]
    for row in rows:
        cells = [cell(row, variant, runs) for variant in variants]
        if any(text != "-" for text in cells):
            lines.append(f"| {row.title} | " + " | ".join(cells) + " |")
    repeats = sorted({len(results) for results in runs.values()})
    said = "-".join(str(count) for count in repeats)
    lines.append("")
    lines.append(f"Runs of each: {said}. Median (least-most); in brackets [ours / theirs], same protocol.")
    return "\n".join(lines)


def verdict(goal, runs, titles):
    """One line on a goal, or None when what it compares was not run."""
    ours = runs.get((OURS, goal.protocol))
    if goal.peer in PROBES:
        theirs, key, peer = ours, f"{goal.peer}_{goal.key}", PROBES[goal.peer]
    else:
        variant = (goal.peer, goal.protocol)
        theirs, key, peer = runs.get(variant), goal.key, name_of(variant)
    if not ours or not theirs:
        return None
    times = ratio(median_of(ours, goal.key), median_of(theirs, key))
    if times is None:
        return None
    met = times >= goal.factor if goal.at_least else times <= goal.factor
    sign = ">=" if goal.at_least else "<="
    return (
        f"- {titles[goal.key]}, {goal.protocol}.0: {number(times)} x {peer}, "
        f"goal {sign} {goal.factor}: {'met' if met else '**not met**'}"
    )


def goals_text(goals, rows, runs):
    titles = {row.key: row.title for row in rows}
    lines = [line for goal in goals if (line := verdict(goal, runs, titles))]
    return "\n".join(lines)
