-- The published tables of an archive as views in DuckDB (docs/open-tables.md). `ARCHIVE` is where it lies, a path or URL:
--
--   sed 's#ARCHIVE#s3://bucket/prefix#g' delta-duckdb.sql
--
--   samples:    tenant, date, metric_name, labels, timestamp, value, start_timestamp; one row per series and timestamp
--   series:     tenant, metric_name, labels, min_time, max_time; one row per series
--   histograms: the columns of docs/formats/parts.md with tenant, date, metric_name and labels
--   exemplars:  tenant, date, metric_name, labels, timestamp, value, exemplar_labels
--   metadata:   tenant, family, labels (null: of the whole family), type, unit, help, first_seen, last_seen; each variant once
--
-- What was received a short while ago is not in them yet: `reader view` shows all there is. Ask for a date where you can; files of others are
-- then not opened.
LOAD delta;
CREATE OR REPLACE VIEW series_of_parts AS SELECT * FROM delta_scan('ARCHIVE/series');
CREATE OR REPLACE VIEW samples_of_parts AS SELECT * FROM delta_scan('ARCHIVE/samples');
CREATE OR REPLACE VIEW histograms_of_parts AS SELECT * FROM delta_scan('ARCHIVE/histograms');
CREATE OR REPLACE VIEW exemplars_of_parts AS SELECT * FROM delta_scan('ARCHIVE/exemplars');
CREATE OR REPLACE VIEW metadata_of_parts AS SELECT * FROM delta_scan('ARCHIVE/metadata');

-- A value is unscaled / 10^scale, or raw_value where that would not be exact. Both have the bits that were sent.
CREATE OR REPLACE VIEW samples AS
SELECT r.tenant, r.date, s.metric_name, s.labels, r.timestamp,
       coalesce(r.raw_value, r.unscaled / pow(10, r.scale)) AS value, r.start_timestamp
FROM samples_of_parts AS r JOIN series_of_parts AS s USING (tenant, date, part, series_id);

CREATE OR REPLACE VIEW series AS
SELECT tenant, any_value(metric_name) AS metric_name, labels, min(min_time) AS min_time, max(max_time) AS max_time
FROM series_of_parts
GROUP BY tenant, labels;

CREATE OR REPLACE VIEW histograms AS
SELECT r.* EXCLUDE (part, series_id), s.metric_name, s.labels
FROM histograms_of_parts AS r JOIN series_of_parts AS s USING (tenant, date, part, series_id);

CREATE OR REPLACE VIEW exemplars AS
SELECT r.tenant, r.date, s.metric_name, s.labels, r.timestamp, r.value, r.labels AS exemplar_labels
FROM exemplars_of_parts AS r JOIN series_of_parts AS s USING (tenant, date, part, series_id);

CREATE OR REPLACE VIEW metadata AS
SELECT m.tenant, m.family, s.labels, m.type, m.unit, m.help, min(m.first_seen) AS first_seen, max(m.last_seen) AS last_seen
FROM metadata_of_parts AS m LEFT JOIN series_of_parts AS s USING (tenant, date, part, series_id)
GROUP BY m.tenant, m.family, s.labels, m.type, m.unit, m.help;
