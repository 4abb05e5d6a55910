# Reads an archive with DuckDB through the shipped views, and its files with PyArrow: not one line of the product is in between.
# Arguments: the SQL, then the files of histograms. Doubles come out as their bits, times as milliseconds, one JSON object for each line.
import json
import struct
import sys

import duckdb
import pyarrow.parquet as parquet


def bits(x):
    return None if x is None else struct.unpack("<Q", struct.pack("<d", x))[0]


def plain(name, value):
    if name in LABELS:
        return None if value is None else dict(value)
    if isinstance(value, float):
        return bits(value)
    if isinstance(value, list):
        return [plain("", x) for x in value]
    return value


LABELS = ("labels", "exemplar_labels")
TIMES = ("timestamp", "start_timestamp", "first_seen", "last_seen", "min_time", "max_time")

db = duckdb.connect()
db.execute("SET TimeZone = 'UTC'")
db.execute(open(sys.argv[1]).read())
for view in ("series", "samples", "histograms", "histogram_buckets", "exemplars", "metadata"):
    columns = [row[0] for row in db.execute(f"describe {view}").fetchall()]
    select = ", ".join(f"epoch_ms({c}) as {c}" if c in TIMES else c for c in columns)
    rows = db.execute(f"select {select} from {view}")
    while batch := rows.fetchmany(10000):
        for row in batch:
            fields = {name: plain(name, value) for name, value in zip(columns, row)}
            print(json.dumps({"view": view, **fields}))

for path in sys.argv[2:]:
    table = parquet.read_table(path)
    for name in TIMES:
        if name in table.column_names:
            i = table.column_names.index(name)
            table = table.set_column(i, name, table.column(i).cast("int64"))
    for row in table.to_pylist():
        fields = {name: plain(name, value) for name, value in row.items()}
        print(json.dumps({"view": "pyarrow", **fields}))
