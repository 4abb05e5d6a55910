-- The files of the archive as views without rows. Those that there are take their places below.
CREATE OR REPLACE TEMPORARY VIEW series_of_parts AS
SELECT '' AS tenant, 0L AS part, 0L AS series_id, '' AS metric_name, map('', '') AS labels, now() AS min_time, now() AS max_time,
       0L AS samples_row_count
WHERE false;

CREATE OR REPLACE TEMPORARY VIEW samples_of_parts AS
SELECT 0L AS part, 0L AS series_id, now() AS timestamp, 0L AS unscaled, 0Y AS scale, 0.0D AS raw_value, now() AS start_timestamp
WHERE false;

CREATE OR REPLACE TEMPORARY VIEW histograms_of_parts AS
SELECT 0L AS part, 0L AS series_id, now() AS timestamp, 0.0D AS sum
WHERE false;

CREATE OR REPLACE TEMPORARY VIEW deletions AS
SELECT '' AS tenant, map('', '') AS labels, 0L AS first_ms, 0L AS end_ms
WHERE false;
