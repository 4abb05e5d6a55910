# The archive as lazy frames in Polars, over the files that were live when `reader view --engine polars` made this text:
#
#   series:  tenant, metric_name, labels, min_time, max_time; one row per series
#   samples: tenant, metric_name, labels, timestamp, value, start_timestamp; one row per series and timestamp
#
# `views` is a context for SQL over both: views.execute("SELECT ... FROM samples").collect()
import polars as pl

TIME = pl.Datetime("ms", "UTC")
LABELS = pl.Map(pl.String, pl.String)
COLUMNS = {
    "tenant": pl.String, "part": pl.Int64, "series_id": pl.Int64, "metric_name": pl.String, "labels": LABELS,
    "min_time": TIME, "max_time": TIME, "samples_row_count": pl.Int64, "timestamp": TIME, "unscaled": pl.Int64,
    "scale": pl.Int8, "raw_value": pl.Float64, "start_timestamp": TIME, "sum": pl.Float64,
    "first_ms": pl.Int64, "end_ms": pl.Int64,
}


def empty(columns):
    return pl.LazyFrame(schema={name: COLUMNS[name] for name in columns.split(", ")})


def rows_of(columns, groups):
    """The rows of some files; those of level 1 and above have no column for their tenant."""
    frames = []
    for tenant, paths in groups:
        rows = pl.scan_parquet(paths, hive_partitioning=False, extra_columns="ignore")
        rows = rows if tenant is None else rows.with_columns(pl.lit(tenant).alias("tenant"))
        names = columns.split(", ")
        frames.append(rows.select("tenant", *names) if "metric_name" in names else rows.select(names))
    return pl.concat(frames)


def label(name):
    return pl.col("labels").map.get(name).fill_null("")


def hidden(condition, first_ms, end_ms):
    times = [pl.lit(first_ms, pl.Int64).alias("first_ms"), pl.lit(end_ms, pl.Int64).alias("end_ms")]
    return series_of_parts.filter(condition).select("tenant", "labels", *times).unique()


series_of_parts = empty("tenant, part, series_id, metric_name, labels, min_time, max_time, samples_row_count")
samples_of_parts = empty("part, series_id, timestamp, unscaled, scale, raw_value, start_timestamp")
histograms_of_parts = empty("part, series_id, timestamp, sum")
deletions = empty("tenant, labels, first_ms, end_ms")
