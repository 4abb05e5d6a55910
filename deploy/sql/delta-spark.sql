-- The published tables of an archive as views in Spark (docs/open-tables.md). `ARCHIVE` is where it lies, a path or URL:
--
--   sed 's#ARCHIVE#s3a://bucket/prefix#g' delta-spark.sql | spark-sql ...
--
--   samples:    tenant, date, metric_name, labels, timestamp, value, start_timestamp; one row per series and timestamp
--   series:     tenant, metric_name, labels, min_time, max_time; one row per series and part
--   histograms: the columns of docs/formats/parts.md with tenant, date, metric_name and labels
--   exemplars:  tenant, date, metric_name, labels, timestamp, value, exemplar_labels
--   metadata:   tenant, family, labels (null: of the whole family), type, unit, help, first_seen, last_seen; a variant once for each part
--
-- Spark shows times in `spark.sql.session.timeZone`: set it to UTC. Ask for a date where you can; files of others are then not opened.
CREATE OR REPLACE TEMPORARY VIEW series_of_parts AS SELECT * FROM delta.`ARCHIVE/series`;
CREATE OR REPLACE TEMPORARY VIEW samples_of_parts AS SELECT * FROM delta.`ARCHIVE/samples`;
CREATE OR REPLACE TEMPORARY VIEW histograms_of_parts AS SELECT * FROM delta.`ARCHIVE/histograms`;
CREATE OR REPLACE TEMPORARY VIEW exemplars_of_parts AS SELECT * FROM delta.`ARCHIVE/exemplars`;
CREATE OR REPLACE TEMPORARY VIEW metadata_of_parts AS SELECT * FROM delta.`ARCHIVE/metadata`;

-- A value is unscaled / 10^scale, or raw_value where that would not be exact. Both have the bits that were sent.
CREATE OR REPLACE TEMPORARY VIEW samples AS
SELECT tenant, date, s.metric_name, s.labels, r.timestamp,
       coalesce(r.raw_value, r.unscaled / pow(10, r.scale)) AS value, r.start_timestamp
FROM samples_of_parts AS r JOIN series_of_parts AS s USING (tenant, date, part, series_id);

CREATE OR REPLACE TEMPORARY VIEW series AS
SELECT tenant, metric_name, labels, min_time, max_time
FROM series_of_parts;

CREATE OR REPLACE TEMPORARY VIEW histograms AS
SELECT s.metric_name, s.labels, r.*
FROM histograms_of_parts AS r JOIN series_of_parts AS s USING (tenant, date, part, series_id);

CREATE OR REPLACE TEMPORARY VIEW exemplars AS
SELECT tenant, date, s.metric_name, s.labels, r.timestamp, r.value, r.labels AS exemplar_labels
FROM exemplars_of_parts AS r JOIN series_of_parts AS s USING (tenant, date, part, series_id);

CREATE OR REPLACE TEMPORARY VIEW metadata AS
SELECT tenant, m.family, s.labels, m.type, m.unit, m.help, m.first_seen, m.last_seen
FROM metadata_of_parts AS m LEFT JOIN series_of_parts AS s USING (tenant, date, part, series_id);
