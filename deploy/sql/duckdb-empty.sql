-- The files of the archive as views without rows. Those that there are take their places below.
CREATE OR REPLACE VIEW series_of_parts AS
SELECT ''::VARCHAR AS tenant, 0::BIGINT AS part, 0::BIGINT AS series_id, ''::VARCHAR AS metric_name, MAP {'': ''} AS labels,
       now()::TIMESTAMPTZ AS min_time, now()::TIMESTAMPTZ AS max_time, 0::BIGINT AS samples_row_count
WHERE false;

CREATE OR REPLACE VIEW histogram_series_of_parts AS
SELECT ''::VARCHAR AS tenant, MAP {'': ''} AS labels
WHERE false;

CREATE OR REPLACE VIEW samples_of_parts AS
SELECT 0::BIGINT AS part, 0::BIGINT AS series_id, now()::TIMESTAMPTZ AS timestamp, 0::BIGINT AS unscaled, 0::TINYINT AS scale,
       0::DOUBLE AS raw_value, now()::TIMESTAMPTZ AS start_timestamp
WHERE false;

CREATE OR REPLACE VIEW histograms_of_parts AS
SELECT 0::BIGINT AS part, 0::BIGINT AS series_id, now()::TIMESTAMPTZ AS timestamp, now()::TIMESTAMPTZ AS start_timestamp,
       0::TINYINT AS reset_hint, 0::INTEGER AS schema, 0::DOUBLE AS zero_threshold, 0::DOUBLE AS sum,
       0::BIGINT AS count, 0::BIGINT AS zero_count, 0::DOUBLE AS float_count, 0::DOUBLE AS float_zero_count,
       []::INTEGER[] AS positive_span_offsets, []::BIGINT[] AS positive_span_lengths,
       []::BIGINT[] AS positive_buckets, []::DOUBLE[] AS float_positive_buckets,
       []::INTEGER[] AS negative_span_offsets, []::BIGINT[] AS negative_span_lengths,
       []::BIGINT[] AS negative_buckets, []::DOUBLE[] AS float_negative_buckets,
       []::DOUBLE[] AS custom_values
WHERE false;

CREATE OR REPLACE VIEW exemplars_of_parts AS
SELECT 0::BIGINT AS part, 0::BIGINT AS series_id, now()::TIMESTAMPTZ AS timestamp, 0::DOUBLE AS value, MAP {'': ''} AS labels
WHERE false;

CREATE OR REPLACE VIEW metadata_of_parts AS
SELECT ''::VARCHAR AS tenant, 0::BIGINT AS part, ''::VARCHAR AS family, 0::BIGINT AS series_id, ''::VARCHAR AS type, ''::VARCHAR AS unit,
       ''::VARCHAR AS help, now()::TIMESTAMPTZ AS first_seen, now()::TIMESTAMPTZ AS last_seen
WHERE false;

CREATE OR REPLACE VIEW deletions AS
SELECT ''::VARCHAR AS tenant, MAP {'': ''} AS labels, 0::BIGINT AS first_ms, 0::BIGINT AS end_ms
WHERE false;
