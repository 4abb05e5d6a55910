# Reads the published tables with one engine through the shipped views: not one line of the product is in between.
# Arguments: the engine, the archive, the folder of the views. Prints one JSON object: rows of each table, and every row of `samples`
# as tenant, labels, milliseconds, bits of the value, milliseconds of the start.
import datetime
import json
import os
import struct
import sys

ENGINE, ARCHIVE, VIEWS = sys.argv[1:]
KINDS = ("series", "samples", "histograms", "exemplars", "metadata")
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


def bits(value):
    return struct.unpack("<Q", struct.pack("<d", value))[0]


def milliseconds(time):
    if time is None or isinstance(time, int):
        return time
    time = time if time.tzinfo else time.replace(tzinfo=datetime.timezone.utc)
    return (time - EPOCH) // datetime.timedelta(milliseconds=1)


def mapping(labels):
    if isinstance(labels, list):
        labels = [tuple(pair.values()) if isinstance(pair, dict) else tuple(pair) for pair in labels]
    return dict(sorted(dict(labels).items()))


def statements(name):
    text = open(os.path.join(VIEWS, name)).read().replace("ARCHIVE", ARCHIVE)
    lines = (line for line in text.splitlines() if not line.startswith("--"))
    return [s for s in "\n".join(lines).split(";") if s.strip()]


def shown(rows):
    return [[t, mapping(l), milliseconds(at), bits(v), milliseconds(start)] for t, l, at, v, start in rows]


def duckdb():
    import duckdb
    import duckdb_extension_delta

    db = duckdb.connect(config={"allow_unsigned_extensions": "true"})
    extension = f"{os.path.dirname(duckdb_extension_delta.__file__)}/extensions/v{duckdb.__version__}/delta.duckdb_extension"
    db.execute(f"LOAD '{extension}'; SET TimeZone = 'UTC'")
    for statement in statements("delta-duckdb.sql")[1:]:
        db.execute(statement)
    for view in KINDS:
        db.execute(f"SELECT count(*) FROM {view}").fetchall()
    counts = {kind: db.execute(f"SELECT count(*) FROM {kind}_of_parts").fetchone()[0] for kind in KINDS}
    columns = "tenant, labels, epoch_ms(timestamp), value, epoch_ms(start_timestamp)"
    return counts, db.execute(f"SELECT {columns} FROM samples").fetchall()


def clickhouse():
    os.chdir(os.path.dirname(ARCHIVE) or "/")
    from chdb import session

    db = session.Session()
    db.query("CREATE DATABASE archive; USE archive")
    for statement in statements("delta-clickhouse.sql"):
        db.query(statement)
    query = lambda text: [json.loads(line) for line in str(db.query(text, "JSONEachRow")).splitlines() if line]
    for view in KINDS:
        query(f"SELECT count() AS n FROM {view}")
    counts = {kind: int(query(f"SELECT count() AS n FROM {kind}_of_parts")[0]["n"]) for kind in KINDS}
    # JSON has no NaN: the bits leave as a number.
    rows = query(
        "SELECT tenant, labels, toString(toUnixTimestamp64Milli(timestamp)) AS at, toString(reinterpretAsUInt64(assumeNotNull(value))) AS v,"
        " toString(toUnixTimestamp64Milli(start_timestamp)) AS start FROM samples"
    )
    number = lambda text: None if text is None else int(text)
    return counts, [
        [r["tenant"], r["labels"], int(r["at"]), struct.unpack("<d", struct.pack("<Q", int(r["v"])))[0], number(r["start"])]
        for r in rows
    ]


def polars():
    sys.path.insert(0, VIEWS)
    sys.dont_write_bytecode = True
    import polars
    from delta_polars import views

    db = views(ARCHIVE)
    for view in KINDS:
        db.execute(f"SELECT count(*) FROM {view}").collect()
    counts = {kind: polars.scan_delta(f"{ARCHIVE}/{kind}").select(polars.len()).collect().item() for kind in KINDS}
    return counts, db.execute("SELECT tenant, labels, timestamp, value, start_timestamp FROM samples").collect().rows()


def deltalake():
    from deltalake import DeltaTable

    rows = {kind: DeltaTable(f"{ARCHIVE}/{kind}").to_pyarrow_table().to_pylist() for kind in KINDS}
    key = lambda row: (row["tenant"], row["date"], row["part"], row["series_id"])
    series = {key(row): row["labels"] for row in rows["series"]}
    value = lambda row: row["unscaled"] / 10 ** row["scale"] if row["raw_value"] is None else row["raw_value"]
    samples = [
        (row["tenant"], series[key(row)], row["timestamp"], value(row), row["start_timestamp"]) for row in rows["samples"]
    ]
    live = [uri for kind in KINDS for uri in DeltaTable(f"{ARCHIVE}/{kind}").file_uris()]
    stale = [
        f"{kind}/{path}"
        for kind in KINDS
        for full in (True, False)
        for path in DeltaTable(f"{ARCHIVE}/{kind}").vacuum(0, True, False, full=full)
    ]
    named = {os.path.join(ARCHIVE, path) for path in stale}
    assert not named & set(live), named & set(live)
    return {kind: len(rows[kind]) for kind in KINDS}, samples, stale


def spark():
    from pyspark.sql import SparkSession

    jars = os.environ["DELTA_JARS"]
    paths = ",".join(sorted(os.path.join(jars, name) for name in os.listdir(jars) if name.endswith(".jar")))
    settings = {
        "spark.jars": paths,
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.ui.enabled": "false",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": "1",
        "spark.databricks.delta.snapshotPartitions": "1",
    }
    builder = SparkSession.builder.master("local[1]")
    for name, value in settings.items():
        builder = builder.config(name, value)
    db = builder.getOrCreate()
    for statement in statements("delta-spark.sql"):
        db.sql(statement)
    for view in KINDS:
        db.sql(f"SELECT count(*) FROM {view}").collect()
    counts = {kind: db.sql(f"SELECT count(*) FROM {kind}_of_parts").collect()[0][0] for kind in KINDS}
    # Python's driver keeps the bits of doubles; times leave as numbers, because it would turn them into its own zone.
    rows = db.sql("SELECT tenant, labels, unix_millis(timestamp), value, unix_millis(start_timestamp) FROM samples").collect()
    return counts, [tuple(row) for row in rows]


found = {"duckdb": duckdb, "clickhouse": clickhouse, "polars": polars, "deltalake": deltalake, "spark": spark}[ENGINE]()
print("RESULT " + json.dumps({"tables": found[0], "samples": shown(found[1]), "stale": found[2] if len(found) > 2 else []}))
