-- The archive as views in Spark, over the files that were live when `reader view --engine spark` made this text.
--
--   series:  tenant, metric_name, labels, min_time, max_time; one row per series
--   samples: tenant, metric_name, labels, timestamp, value, start_timestamp; one row per series and timestamp
--
-- Spark shows times in `spark.sql.session.timeZone`: set it to UTC.
CREATE OR REPLACE TEMPORARY VIEW series AS
SELECT tenant, first(metric_name) AS metric_name, map_from_entries(entries) AS labels, min(min_time) AS min_time, max(max_time) AS max_time
FROM (SELECT *, map_entries(labels) AS entries FROM series_of_parts)
GROUP BY tenant, entries;

-- Histograms that are not stale, at which a stale sample of the same series loses.
CREATE OR REPLACE TEMPORARY VIEW histogram_times AS
SELECT DISTINCT s.tenant, map_entries(s.labels) AS entries, h.timestamp
FROM histograms_of_parts AS h JOIN series_of_parts AS s USING (part, series_id)
WHERE NOT isnan(h.sum) OR java_method('java.lang.Double', 'doubleToRawLongBits', h.sum) != '9218868437227405314';

-- A value is unscaled / 10^scale, or raw_value where that would not be exact. Both have the bits that were sent.
-- Of several rows with one series and timestamp the greatest is kept: not stale, then the larger bits, then the later start.
CREATE OR REPLACE TEMPORARY VIEW samples AS
WITH all_rows AS (
    SELECT s.tenant, s.metric_name, s.labels, map_entries(s.labels) AS entries, r.timestamp,
           coalesce(r.raw_value, r.unscaled / pow(10, r.scale)) AS value, r.start_timestamp
    FROM samples_of_parts AS r JOIN series_of_parts AS s USING (part, series_id)
), left_rows AS (
    SELECT a.*, count(*) OVER (PARTITION BY tenant, entries, timestamp) > 1 AS has_rival,
           CASE WHEN isnan(value) THEN java_method('java.lang.Double', 'doubleToRawLongBits', value) = '9218868437227405314'
                ELSE false END AS is_stale
    FROM all_rows AS a
    LEFT ANTI JOIN deletions AS d
        ON d.tenant = a.tenant AND map_entries(d.labels) = a.entries
        AND unix_millis(a.timestamp) >= d.first_ms AND unix_millis(a.timestamp) < d.end_ms
), ranked AS (
    SELECT l.*, CASE WHEN has_rival THEN CAST(java_method('java.lang.Double', 'doubleToRawLongBits', value) AS BIGINT) END AS bits
    FROM left_rows AS l
    LEFT ANTI JOIN histogram_times AS h
        ON l.is_stale AND h.tenant = l.tenant AND h.entries = l.entries AND h.timestamp = l.timestamp
), placed AS (
    SELECT *, row_number() OVER (
        PARTITION BY tenant, entries, timestamp
        ORDER BY is_stale, bits >= 0, bits DESC, coalesce(unix_millis(start_timestamp), 0) DESC
    ) AS place
    FROM ranked
)
SELECT tenant, metric_name, labels, timestamp, value, start_timestamp
FROM placed
WHERE place = 1;
