"""The published tables of an archive as lazy frames in Polars, which has no views of its own (docs/open-tables.md).

    from delta_polars import views
    db = views("s3://bucket/prefix")
    db.execute("SELECT metric_name, max(value) FROM samples WHERE date = '2026-11-20'::date GROUP BY metric_name").collect()

samples:    tenant, date, metric_name, labels, timestamp, value, start_timestamp; one row per series and timestamp
series:     tenant, metric_name, labels, min_time, max_time; one row per series
histograms: the columns of docs/formats/parts.md with tenant, date, metric_name and labels
exemplars:  tenant, date, metric_name, labels, timestamp, value, exemplar_labels
metadata:   tenant, family, labels (null: of the whole family), type, unit, help, first_seen, last_seen; each variant once

Ask for a date where you can; files of others are then not opened.
"""

import polars as pl

KEY = ["tenant", "date", "part", "series_id"]


def views(archive, **options):
    """A context for SQL over the archive at this path or URL; `options` go to `polars.scan_delta`, for credentials."""
    table = {
        kind: pl.scan_delta(f"{archive}/{kind}", **options)
        for kind in ("series", "samples", "histograms", "exemplars", "metadata")
    }
    names = table["series"].select(*KEY, "metric_name", pl.col("labels").alias("series_labels"))

    def of_series(rows, how="inner"):
        return rows.join(names, on=KEY, how=how).drop("part", "series_id")

    # A value is unscaled / 10^scale, or raw_value where that would not be exact. Both have the bits that were sent.
    value = pl.coalesce("raw_value", pl.col("unscaled") / pl.lit(10.0).pow(pl.col("scale")))
    labels = pl.col("series_labels").alias("labels")
    seen = [pl.col("first_seen").min(), pl.col("last_seen").max()]
    variant = ["tenant", "family", "labels", "type", "unit", "help"]
    return pl.SQLContext(
        samples=of_series(table["samples"]).select(
            "tenant", "date", "metric_name", labels, "timestamp", value.alias("value"), "start_timestamp"
        ),
        series=table["series"]
        .group_by("tenant", "labels")
        .agg(pl.col("metric_name").first(), pl.col("min_time").min(), pl.col("max_time").max()),
        histograms=of_series(table["histograms"]).rename({"series_labels": "labels"}),
        exemplars=of_series(table["exemplars"]).select(
            "tenant", "date", "metric_name", labels, "timestamp", "value", pl.col("labels").alias("exemplar_labels")
        ),
        metadata=of_series(table["metadata"], "left")
        .select("tenant", "family", labels, "type", "unit", "help", "first_seen", "last_seen")
        .group_by(variant)
        .agg(seen),
    )
