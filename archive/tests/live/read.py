# Reads the live files of an archive with one engine through the text that the archive made for it, or with the script that needs no engine of
# ours at all. Arguments: the engine, the text or the archive. Prints the rows of `samples` as one JSON list: tenant, labels, milliseconds,
# bits of the value, milliseconds of the start.
import csv
import datetime
import glob
import json
import os
import struct
import subprocess
import sys
import tempfile
import urllib.parse

ENGINE, SOURCE = sys.argv[1:3]
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


def bits(value):
    return struct.unpack("<Q", struct.pack("<d", value))[0]


def milliseconds(time):
    return time if time is None or isinstance(time, int) else (time - EPOCH) // datetime.timedelta(milliseconds=1)


def mapping(labels):
    if isinstance(labels, dict) and set(labels) == {"key", "value"} and isinstance(labels["key"], list):
        labels = zip(labels["key"], labels["value"])
    if isinstance(labels, list):
        labels = [tuple(pair.values()) if isinstance(pair, dict) else tuple(pair) for pair in labels]
    return dict(sorted(dict(labels).items()))


def statements():
    lines = (line for line in open(SOURCE) if not line.startswith("--"))
    return [statement for statement in "".join(lines).split(";\n") if statement.strip()]


def duckdb():
    import duckdb

    db = duckdb.connect()
    db.execute("SET TimeZone = 'UTC'")
    db.execute(open(SOURCE).read())
    return db.execute("SELECT tenant, labels, epoch_ms(timestamp), value, epoch_ms(start_timestamp) FROM samples").fetchall()


def clickhouse():
    os.chdir(os.path.dirname(SOURCE))
    from chdb import session

    db = session.Session()
    db.query("CREATE DATABASE archive; USE archive")
    for statement in statements():
        db.query(statement)
    text = db.query(
        "SELECT tenant, labels, toString(toUnixTimestamp64Milli(timestamp)) AS at, toString(reinterpretAsUInt64(value)) AS v,"
        " toString(toUnixTimestamp64Milli(start_timestamp)) AS start FROM samples",
        "JSONEachRow",
    )
    rows = [json.loads(line) for line in str(text).splitlines() if line]
    number = lambda text: None if text is None else int(text)
    value = lambda text: struct.unpack("<d", struct.pack("<Q", int(text)))[0]
    return [[r["tenant"], r["labels"], int(r["at"]), value(r["v"]), number(r["start"])] for r in rows]


def polars():
    names = {}
    exec(compile(open(SOURCE).read(), SOURCE, "exec"), names)
    columns = "tenant, labels, timestamp, value, start_timestamp"
    return names["views"].execute(f"SELECT {columns} FROM samples").collect().rows()


def spark():
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false")
    db = builder.config("spark.sql.session.timeZone", "UTC").config("spark.sql.shuffle.partitions", "1").getOrCreate()
    for statement in statements():
        db.sql(statement)
    select = "SELECT tenant, labels, unix_millis(timestamp), value, unix_millis(start_timestamp) FROM samples"
    return [tuple(row) for row in db.sql(select).collect()]


def survive():
    rows = []
    with tempfile.TemporaryDirectory() as out:
        script = os.path.join(os.path.dirname(__file__), "../../../deploy/survive/restore.py")
        subprocess.run([sys.executable, script, SOURCE, out], check=True)
        for path in glob.glob(os.path.join(out, "*.csv")):
            tenant = urllib.parse.unquote(os.path.basename(path)[:-4])
            kept = 0
            for row in csv.DictReader(open(path, encoding="utf-8", newline="")):
                special = {"stale": "7ff0000000000002"}.get(row["value"], row["value"].removeprefix("nan:"))
                is_special = special != row["value"]
                value = struct.unpack(">d", bytes.fromhex(special))[0] if is_special else float(row["value"])
                kept += row["value"] != "stale"
                start = row["start_timestamp_ms"]
                rows.append([tenant, json.loads(row["labels"]), int(row["timestamp_ms"]), value, int(start) if start else None])
            text = open(path[:-4] + ".om", encoding="utf-8").read().splitlines()
            assert text[-1] == "# EOF" and len(text) == kept + 1, (len(text), kept)
            if len(sys.argv) > 3:
                blocks = os.path.join(out, "blocks")
                subprocess.run([sys.argv[3], "tsdb", "create-blocks-from", "openmetrics", path[:-4] + ".om", blocks], check=True, stdout=2)
    return rows


found = {"duckdb": duckdb, "clickhouse": clickhouse, "polars": polars, "spark": spark, "survive": survive}[ENGINE]()
print("RESULT " + json.dumps([[t, mapping(l), milliseconds(at), bits(v), milliseconds(start)] for t, l, at, v, start in found]))
