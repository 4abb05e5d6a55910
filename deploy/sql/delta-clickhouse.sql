-- The published tables of an archive as views in ClickHouse (docs/open-tables.md). `ARCHIVE` is where it lies. For a bucket write
-- `deltaLakeS3`, `deltaLakeAzure` or the credentials' form of them in the place of `deltaLakeLocal`:
--
--   sed -e 's#deltaLakeLocal#deltaLakeS3#g' -e 's#ARCHIVE#https://bucket.s3.amazonaws.com/prefix#g' delta-clickhouse.sql
--
--   samples:    tenant, date, metric_name, labels, timestamp, value, start_timestamp; one row per series and timestamp
--   series:     tenant, metric_name, labels, min_time, max_time; one row per series
--   histograms: the columns of docs/formats/parts.md with tenant, date, metric_name and labels
--   exemplars:  tenant, date, metric_name, labels, timestamp, value, exemplar_labels
--   metadata:   tenant, family, labels (empty: of the whole family), type, unit, help, first_seen, last_seen; each variant once
--
-- Ask for a date where you can; files of others are then not opened.
CREATE OR REPLACE VIEW series_of_parts AS SELECT * FROM deltaLakeLocal('ARCHIVE/series');
CREATE OR REPLACE VIEW samples_of_parts AS SELECT * FROM deltaLakeLocal('ARCHIVE/samples');
CREATE OR REPLACE VIEW histograms_of_parts AS SELECT * FROM deltaLakeLocal('ARCHIVE/histograms');
CREATE OR REPLACE VIEW exemplars_of_parts AS SELECT * FROM deltaLakeLocal('ARCHIVE/exemplars');
CREATE OR REPLACE VIEW metadata_of_parts AS SELECT * FROM deltaLakeLocal('ARCHIVE/metadata');

-- A value is unscaled / 10^scale, or raw_value where that would not be exact. Both have the bits that were sent.
CREATE OR REPLACE VIEW samples AS
SELECT r.tenant AS tenant, r.date AS date, s.metric_name AS metric_name, s.labels AS labels, r.timestamp AS timestamp,
       coalesce(r.raw_value, r.unscaled / pow(10, r.scale)) AS value, r.start_timestamp AS start_timestamp
FROM samples_of_parts AS r JOIN series_of_parts AS s USING (tenant, date, part, series_id);

CREATE OR REPLACE VIEW series AS
SELECT tenant, any(metric_name) AS metric_name, labels, min(min_time) AS min_time, max(max_time) AS max_time
FROM series_of_parts
GROUP BY tenant, labels;

CREATE OR REPLACE VIEW histograms AS
SELECT r.* EXCEPT (part, series_id), s.metric_name AS metric_name, s.labels AS labels
FROM histograms_of_parts AS r JOIN series_of_parts AS s USING (tenant, date, part, series_id);

CREATE OR REPLACE VIEW exemplars AS
SELECT r.tenant AS tenant, r.date AS date, s.metric_name AS metric_name, s.labels AS labels, r.timestamp AS timestamp,
       r.value AS value, r.labels AS exemplar_labels
FROM exemplars_of_parts AS r JOIN series_of_parts AS s USING (tenant, date, part, series_id);

CREATE OR REPLACE VIEW metadata AS
SELECT m.tenant AS tenant, m.family AS family, s.labels AS labels, m.type AS type, m.unit AS unit, m.help AS help,
       min(m.first_seen) AS first_seen, max(m.last_seen) AS last_seen
FROM metadata_of_parts AS m LEFT JOIN series_of_parts AS s USING (tenant, date, part, series_id)
GROUP BY tenant, family, labels, type, unit, help;
