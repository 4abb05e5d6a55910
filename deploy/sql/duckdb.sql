-- The archive as two views, made by `reader view --engine duckdb` for the files live at that moment.
--
--   samples: tenant, metric_name, labels, timestamp, value, start_timestamp; one row per series and timestamp
--   series:  tenant, metric_name, labels, min_time, max_time; one row per series
--
-- A value is unscaled / 10^scale, or raw_value where that would not be exact. Both have the bits that were sent.
CREATE OR REPLACE VIEW series_of_parts AS
SELECT tenant, part, series_id, metric_name, labels, min_time, max_time
FROM read_parquet([
{series_files}
], hive_partitioning = false);

CREATE OR REPLACE VIEW series AS
SELECT tenant, any_value(metric_name) AS metric_name, labels, min(min_time) AS min_time, max(max_time) AS max_time
FROM series_of_parts
GROUP BY tenant, labels;

-- Of several rows with one series and timestamp the greatest is kept: not stale, then the larger bits, then the later start.
CREATE OR REPLACE VIEW samples AS
WITH rows_of_parts AS (
    SELECT part, series_id, timestamp, coalesce(raw_value, unscaled / pow(10, scale)) AS value, start_timestamp
    FROM read_parquet([
{samples_files}
    ], hive_partitioning = false)
)
SELECT tenant, metric_name, labels, timestamp, value, start_timestamp
FROM rows_of_parts JOIN series_of_parts USING (part, series_id)
QUALIFY row_number() OVER (
    PARTITION BY tenant, labels, timestamp
    ORDER BY value::BIT = '0111111111110000000000000000000000000000000000000000000000000010'::BIT,
             value::BIT DESC,
             coalesce(epoch_ms(start_timestamp), 0) DESC
) = 1;
