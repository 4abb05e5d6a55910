-- The archive as views in ClickHouse, over the files that were live when `reader view --engine clickhouse` made this text.
--
--   series:  tenant, metric_name, labels, min_time, max_time; one row per series
--   samples: tenant, metric_name, labels, timestamp, value, start_timestamp; one row per series and timestamp
--
-- Files in a directory must lie below `user_files_path`. A time before 1900 or after 2299 is beyond ClickHouse's own.
CREATE OR REPLACE VIEW series AS
SELECT tenant, any(metric_name) AS metric_name, labels, min(min_time) AS min_time, max(max_time) AS max_time
FROM series_of_parts
GROUP BY tenant, labels;

-- Histograms that are not stale, at which a stale sample of the same series loses.
CREATE OR REPLACE VIEW histogram_times AS
SELECT DISTINCT s.tenant AS tenant, s.labels AS labels, h.timestamp AS timestamp
FROM histograms_of_parts AS h JOIN series_of_parts AS s USING (part, series_id)
WHERE reinterpretAsUInt64(h.sum) != 9218868437227405314;

CREATE OR REPLACE VIEW rows_of_parts AS
SELECT s.tenant AS tenant, s.metric_name AS metric_name, s.labels AS labels, r.timestamp AS timestamp,
       assumeNotNull(coalesce(r.raw_value, r.unscaled / pow(10, r.scale))) AS value, r.start_timestamp AS start_timestamp
FROM samples_of_parts AS r JOIN series_of_parts AS s USING (part, series_id);

-- A value is unscaled / 10^scale, or raw_value where that would not be exact. Both have the bits that were sent.
-- Of several rows with one series and timestamp the greatest is kept: not stale, then the larger bits, then the later start.
CREATE OR REPLACE VIEW samples AS
SELECT tenant, metric_name, labels, timestamp, value, start_timestamp
FROM rows_of_parts
WHERE NOT (reinterpretAsUInt64(value) = 9218868437227405314
           AND (tenant, labels, timestamp) IN (SELECT tenant, labels, timestamp FROM histogram_times))
  AND (tenant, labels, timestamp) NOT IN (
      SELECT r.tenant, r.labels, r.timestamp
      FROM rows_of_parts AS r JOIN deletions AS d ON d.tenant = r.tenant AND d.labels = r.labels
      WHERE toUnixTimestamp64Milli(r.timestamp) >= d.first_ms AND toUnixTimestamp64Milli(r.timestamp) < d.end_ms
  )
ORDER BY reinterpretAsUInt64(value) = 9218868437227405314, reinterpretAsUInt64(value) DESC,
         coalesce(toUnixTimestamp64Milli(start_timestamp), 0) DESC
LIMIT 1 BY tenant, labels, timestamp;
