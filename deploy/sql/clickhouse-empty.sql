-- The files of the archive as views without rows. Those that there are take their places below.
CREATE OR REPLACE VIEW series_of_parts AS
SELECT '' AS tenant, toInt64(0) AS part, toInt64(0) AS series_id, '' AS metric_name, map('', '') AS labels,
       toDateTime64(0, 3, 'UTC') AS min_time, toDateTime64(0, 3, 'UTC') AS max_time, toInt64(0) AS samples_row_count
WHERE false;

CREATE OR REPLACE VIEW samples_of_parts AS
SELECT toInt64(0) AS part, toInt64(0) AS series_id, toDateTime64(0, 3, 'UTC') AS timestamp, CAST(0 AS Nullable(Int64)) AS unscaled,
       toInt8(0) AS scale, CAST(0 AS Nullable(Float64)) AS raw_value,
       CAST(NULL AS Nullable(DateTime64(3, 'UTC'))) AS start_timestamp
WHERE false;

CREATE OR REPLACE VIEW histograms_of_parts AS
SELECT toInt64(0) AS part, toInt64(0) AS series_id, toDateTime64(0, 3, 'UTC') AS timestamp, toFloat64(0) AS sum
WHERE false;

CREATE OR REPLACE VIEW deletions AS
SELECT '' AS tenant, map('', '') AS labels, toInt64(0) AS first_ms, toInt64(0) AS end_ms
WHERE false;
