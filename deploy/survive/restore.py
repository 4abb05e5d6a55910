#!/usr/bin/env python3
"""Gets every float sample out of an Emberkeep archive without Emberkeep: as OpenMetrics text and as CSV, one file of each for each tenant.

    pip install duckdb
    aws s3 sync s3://bucket/prefix ./archive      # a bucket becomes a directory first; a directory is used as it is
    ./restore.py ./archive ./restored
    promtool tsdb create-blocks-from openmetrics ./restored/anonymous.om ./data

Reads what docs/formats/catalog.md and docs/formats/parts.md draw, and nothing else: the newest root, the lists and commit records
that it leads to, and the Parquet files they name. Deletions (masks) are honoured. Stale markers are `stale` in the CSV and left out of the
OpenMetrics text, which cannot hold them. Native histograms, exemplars and metadata are in files beside, of the same form.
"""

import csv, json, os, re, struct, sys, urllib.parse  # noqa: E401
import duckdb

STALE = 0x7FF0000000000002
root, out = sys.argv[1:3]
db = duckdb.connect()
db.execute("SET TimeZone = 'UTC'; SET preserve_insertion_order = false; SET temp_directory = '" + out.replace("'", "''") + "/.tmp'")


def catalog_object(*steps):
    path = os.path.join(root, "_archive", *steps)
    with open(path, "rb") as file:
        packed = file.read(4) == bytes.fromhex("28b52ffd")
    options = f"format = 'unstructured', compression = '{'zstd' if packed else 'none'}', maximum_object_size = 1073741824"
    return json.loads(db.execute(f"SELECT json FROM read_json_objects(?, {options})", [path]).fetchone()[0])


def listing(folder):
    path = os.path.join(root, "_archive", folder)
    return sorted(name for name in os.listdir(path) if re.search(r"\d{20}$", name)) if os.path.isdir(path) else []


roots = listing("roots")  # They count downwards: the newest comes first.
newest = catalog_object("roots", roots[0]) if roots else {"watermarks": {}, "level0": [], "manifests": []}
parts = list(newest["level0"])
for manifest in newest["manifests"]:
    parts += catalog_object("manifests", manifest["name"])["parts"]
for name in listing("log"):
    receiver, number = name.rsplit(".", 1)
    if int(number) > newest["watermarks"].get(receiver, {"seq": 0})["seq"]:
        parts += catalog_object("log", name)["parts"]


def is_hidden_by(mask, labels):
    """Whether a deletion concerns a series. Patterns are RE2, which Python reads the same but for rare escapes."""
    for m in mask["matchers"]:
        value = labels.get(m["name"], "")
        match = value == m["value"] if m["op"] in ("=", "!=") else re.fullmatch(m["value"], value, re.DOTALL)
        if bool(match) == m["op"].startswith("!"):
            return False
    return True


def files(kind, only_tenant=None):
    """SQL that reads the files of a kind; those of level 1 and above have no column for their tenant."""
    quoted = lambda text: "'" + text.replace("'", "''") + "'"
    groups = {}
    for part in parts:
        tenant = next(iter(part["tenants"])) if part["level"] else None
        for file in part["files"]:
            if file["kind"] == kind and (tenant in (None, only_tenant) or only_tenant is None):
                groups.setdefault(tenant, []).append(quoted(os.path.join(root, file["path"])))
    read = lambda paths: f"FROM read_parquet([{','.join(paths)}], hive_partitioning = false)"
    reads = [f"SELECT *{'' if t is None else f', {quoted(t)} AS tenant'} {read(paths)}" for t, paths in groups.items()]
    return " UNION ALL BY NAME ".join(reads)


def openmetrics(labels):
    quoted = lambda text: '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
    name = labels.get("__name__", "")
    legacy = re.fullmatch(r"[a-zA-Z_:][a-zA-Z0-9_:]*", name)
    plain = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
    pairs = [f"{l if plain.fullmatch(l) else quoted(l)}={quoted(v)}" for l, v in labels.items() if l != "__name__"]
    inside = ",".join(pairs if legacy or not name else [quoted(name), *pairs])
    return (name if legacy else "") + (f"{{{inside}}}" if inside else "")


def text_of(value):
    """A number as short as it can be said exactly; NaN by its bits, because there are many."""
    bits = struct.unpack("<Q", struct.pack("<d", value))[0]
    return repr(value) if value == value else "stale" if bits == STALE else f"nan:{bits:016x}"


os.makedirs(out, exist_ok=True)
for tenant in sorted({tenant for part in parts for tenant, held in part["tenants"].items() if held["samples"]}):
    file = os.path.join(out, urllib.parse.quote(tenant))
    masks = [mask for mask in newest.get("masks", []) if mask["tenant"] == tenant]
    # A stale sample loses against a histogram that is not.
    sums = files("histograms", tenant) or "SELECT 0 AS part, 0 AS series_id, now() AS timestamp, 0::DOUBLE AS sum WHERE false"
    # Of several rows with one series and timestamp the greatest is kept: not stale, then the larger bits, then the later start.
    rows = db.execute(f"""
        WITH series AS (SELECT part, series_id, labels FROM ({files("series", tenant)}) WHERE tenant = ?),
             rows AS (SELECT labels, epoch_ms(timestamp) AS time, coalesce(raw_value, unscaled / pow(10, scale)) AS value,
                             epoch_ms(start_timestamp) AS start
                      FROM ({files("samples", tenant)}) JOIN series USING (part, series_id))
        SELECT labels, time, value, start FROM rows
        WHERE NOT (value::BIT = '{STALE:064b}'::BIT AND (labels, time) IN (
            SELECT (labels, epoch_ms(timestamp)) FROM ({sums}) JOIN series USING (part, series_id) WHERE sum::BIT != '{STALE:064b}'::BIT))
        QUALIFY row_number() OVER (PARTITION BY labels, time ORDER BY value::BIT = '{STALE:064b}'::BIT, value::BIT DESC, coalesce(start, 0) DESC) = 1
        ORDER BY labels['__name__'], labels, time""", [tenant])
    last = None
    with open(file + ".om", "w", encoding="utf-8") as text, open(file + ".csv", "w", encoding="utf-8", newline="") as table:
        lines = csv.writer(table)
        lines.writerow(["labels", "timestamp_ms", "value", "start_timestamp_ms"])
        while batch := rows.fetchmany(100_000):
            for labels, at, value, start in batch:
                if labels != last:
                    last, shown, exposed = labels, json.dumps(labels, ensure_ascii=False), openmetrics(labels)
                    hiding = [mask for mask in masks if is_hidden_by(mask, labels)]
                if any(mask["from"] <= at < mask["to"] for mask in hiding):
                    continue
                lines.writerow([shown, at, text_of(value), start])
                if text_of(value) != "stale":
                    sign = "-" if at < 0 else ""
                    number = {"inf": "+Inf", "-inf": "-Inf", "nan": "NaN"}.get(repr(value), repr(value))
                    text.write(f"{exposed} {number} {sign}{abs(at) // 1000}.{abs(at) % 1000:03}\n")
        text.write("# EOF\n")
