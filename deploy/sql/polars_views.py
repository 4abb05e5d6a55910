STALE = pl.lit(0x7FF0000000000002, pl.UInt64)
SERIES = ["part", "series_id"]
ROW = ["tenant", "labels", "timestamp"]
names = series_of_parts.select("tenant", *SERIES, "metric_name", "labels")

# Histograms that are not stale, at which a stale sample of the same series loses.
histogram_times = (
    histograms_of_parts.filter(pl.col("sum").reinterpret(dtype=pl.UInt64) != STALE)
    .join(names, on=SERIES)
    .select(ROW)
    .unique()
)
# A value is unscaled / 10^scale, or raw_value where that would not be exact. Both have the bits that were sent.
all_rows = (
    samples_of_parts.join(names, on=SERIES)
    .with_columns(value=pl.coalesce("raw_value", pl.col("unscaled") / pl.lit(10.0).pow(pl.col("scale"))))
    .with_columns(bits=pl.col("value").reinterpret(dtype=pl.UInt64), ms=pl.col("timestamp").dt.epoch("ms"))
)
hidden_rows = (
    all_rows.join(deletions, on=["tenant", "labels"])
    .filter((pl.col("ms") >= pl.col("first_ms")) & (pl.col("ms") < pl.col("end_ms")))
    .select(ROW)
    .unique()
)
is_stale = pl.col("bits") == STALE
left_rows = all_rows.join(hidden_rows, on=ROW, how="anti")
# Of several rows with one series and timestamp the greatest is kept: not stale, then the larger bits, then the later start.
samples = (
    pl.concat([left_rows.filter(~is_stale), left_rows.filter(is_stale).join(histogram_times, on=ROW, how="anti")])
    .sort(
        is_stale,
        "bits",
        pl.col("start_timestamp").dt.epoch("ms").fill_null(0),
        descending=[False, True, True],
    )
    .unique(ROW, keep="first", maintain_order=True)
    .select("tenant", "metric_name", "labels", "timestamp", "value", "start_timestamp")
)
series = series_of_parts.group_by("tenant", "labels").agg(
    pl.col("metric_name").first(), pl.col("min_time").min(), pl.col("max_time").max()
)
views = pl.SQLContext(samples=samples, series=series)
