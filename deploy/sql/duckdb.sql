-- The archive as views, over the files that were live when `reader view --engine duckdb` made this text.
--
--   series:            tenant, metric_name, labels, min_time, max_time; one row per series. Times are of its samples and histograms; of a part
--                      that has neither they are of its exemplars, or of the arrival of its metadata
--   samples:           tenant, metric_name, labels, timestamp, value, start_timestamp; one row per series and timestamp
--   histograms:        native histograms, absolute counts per bucket; one row per series and timestamp
--   histogram_buckets: tenant, metric_name, labels, timestamp, schema, side, bucket, lower, upper, count, integer_count; one row per bucket
--   exemplars:         tenant, metric_name, labels, timestamp, value, exemplar_labels; each once
--   metadata:          tenant, family, labels (null: of the whole family), type, unit, help, first_seen, last_seen; each variant once
--
-- A series has one sample or histogram for a timestamp: stale markers lose against anything else, histograms lose against floats.
CREATE OR REPLACE VIEW series AS
SELECT tenant, any_value(metric_name) AS metric_name, labels, min(min_time) AS min_time, max(max_time) AS max_time
FROM series_of_parts
GROUP BY tenant, labels;

CREATE OR REPLACE MACRO emberkeep_is_stale(x) AS
    x::BIT = '0111111111110000000000000000000000000000000000000000000000000010'::BIT;

-- Series that have both kinds; mostly none.
CREATE OR REPLACE VIEW mixed_series AS
SELECT DISTINCT tenant, labels
FROM histogram_series_of_parts
WHERE (tenant, labels) IN (SELECT (tenant, labels) FROM series_of_parts WHERE samples_row_count > 0);

CREATE OR REPLACE VIEW mixed_samples AS
SELECT tenant, labels, timestamp, coalesce(emberkeep_is_stale(raw_value), false) AS is_stale
FROM samples_of_parts JOIN series_of_parts USING (part, series_id) JOIN mixed_series USING (tenant, labels);

CREATE OR REPLACE VIEW mixed_histograms AS
SELECT tenant, labels, timestamp, emberkeep_is_stale(sum) AS is_stale
FROM histograms_of_parts JOIN series_of_parts USING (part, series_id) JOIN mixed_series USING (tenant, labels);

-- A value is unscaled / 10^scale, or raw_value where that would not be exact. Both have the bits that were sent.
-- Of several rows with one series and timestamp the greatest is kept: not stale, then the larger bits, then the later start.
CREATE OR REPLACE VIEW samples AS
WITH rows_of_parts AS (
    SELECT part, series_id, timestamp, coalesce(raw_value, unscaled / pow(10, scale)) AS value, start_timestamp
    FROM samples_of_parts
)
SELECT tenant, metric_name, labels, timestamp, value, start_timestamp
FROM rows_of_parts JOIN series_of_parts USING (part, series_id)
WHERE NOT (emberkeep_is_stale(value) AND (tenant, labels, timestamp) IN (
    SELECT (tenant, labels, timestamp) FROM mixed_histograms WHERE NOT is_stale
)) AND NOT EXISTS (
    FROM deletions AS d
    WHERE d.tenant = series_of_parts.tenant AND d.labels = series_of_parts.labels
      AND epoch_ms(timestamp) >= d.first_ms AND epoch_ms(timestamp) < d.end_ms
)
QUALIFY row_number() OVER (
    PARTITION BY tenant, labels, timestamp
    ORDER BY emberkeep_is_stale(value),
             value::BIT DESC,
             coalesce(epoch_ms(start_timestamp), 0) DESC
) = 1;

-- The canonical bytes of a histogram in hexadecimal digits: of two histograms that are both not stale the larger ones are kept.
CREATE OR REPLACE MACRO emberkeep_unsigned(n) AS
    CASE WHEN n < 0 THEN n::HUGEINT + 18446744073709551616 ELSE n::HUGEINT END::UBIGINT;
CREATE OR REPLACE MACRO emberkeep_uvarint(n) AS
    array_to_string([
        printf('%02X', ((n::UBIGINT >> 7 * k) & 127) + CASE WHEN k < 9 AND n::UBIGINT >> 7 * (k + 1) > 0 THEN 128 ELSE 0 END)
        FOR k IN range(10) IF k = 0 OR n::UBIGINT >> 7 * k > 0
    ], '');
CREATE OR REPLACE MACRO emberkeep_zigzag(n) AS
    emberkeep_uvarint(CASE WHEN n < 0 THEN -2 * n::BIGINT - 1 ELSE 2 * n::BIGINT END);
CREATE OR REPLACE MACRO emberkeep_bits(x) AS hex(x::BIT::BLOB);
CREATE OR REPLACE MACRO emberkeep_spans(offsets, lengths) AS
    emberkeep_uvarint(len(offsets)) || array_to_string([
        emberkeep_zigzag(span[1]) || emberkeep_uvarint(span[2]) FOR span IN list_zip(offsets, lengths)
    ], '');
CREATE OR REPLACE MACRO emberkeep_canonical(h) AS
    printf('%02X', CASE WHEN h.float_count IS NULL THEN 0 ELSE 1 END + 2 * h.reset_hint)
    || emberkeep_bits(h.sum) || emberkeep_zigzag(h.schema) || emberkeep_bits(h.zero_threshold)
    || emberkeep_spans(h.positive_span_offsets, h.positive_span_lengths)
    || emberkeep_spans(h.negative_span_offsets, h.negative_span_lengths)
    || emberkeep_uvarint(len(h.custom_values))
    || array_to_string([emberkeep_bits(x) FOR x IN h.custom_values], '')
    || CASE WHEN h.float_count IS NULL
       THEN array_to_string([
           emberkeep_uvarint(emberkeep_unsigned(n))
           FOR n IN [h.count, h.zero_count] || h.positive_buckets || h.negative_buckets
       ], '')
       ELSE array_to_string([
           emberkeep_bits(x)
           FOR x IN [h.float_count, h.float_zero_count] || h.float_positive_buckets || h.float_negative_buckets
       ], '')
       END;

-- Counts are absolute. A histogram has whole counts (count, zero_count, *_buckets) or fractions (float_*); the others are null and empty.
-- count and zero_count beyond 2^63 - 1 stand there as negative numbers. reset_hint: 0 unknown, 1 reset, 2 no reset, 3 gauge.
CREATE OR REPLACE VIEW histograms AS
WITH rows_of_parts AS (
    SELECT tenant, metric_name, labels, h AS histogram, timestamp, start_timestamp, emberkeep_is_stale(sum) AS is_stale,
           count(*) OVER (PARTITION BY tenant, labels, timestamp) > 1 AS has_rival
    FROM histograms_of_parts AS h JOIN series_of_parts USING (part, series_id)
)
SELECT tenant, metric_name, labels, timestamp, start_timestamp, histogram.reset_hint, histogram.schema, histogram.zero_threshold,
       histogram.sum, histogram.count, histogram.zero_count, histogram.float_count, histogram.float_zero_count,
       histogram.positive_span_offsets, histogram.positive_span_lengths, histogram.positive_buckets,
       histogram.float_positive_buckets,
       histogram.negative_span_offsets, histogram.negative_span_lengths, histogram.negative_buckets,
       histogram.float_negative_buckets,
       histogram.custom_values
FROM rows_of_parts AS h
WHERE NOT EXISTS (
    FROM mixed_samples AS s
    WHERE s.tenant = h.tenant AND s.labels = h.labels AND s.timestamp = h.timestamp AND (h.is_stale OR NOT s.is_stale)
) AND NOT EXISTS (
    FROM deletions AS d
    WHERE d.tenant = h.tenant AND d.labels = h.labels
      AND epoch_ms(h.timestamp) >= d.first_ms AND epoch_ms(h.timestamp) < d.end_ms
)
QUALIFY row_number() OVER (
    PARTITION BY tenant, labels, timestamp
    ORDER BY is_stale,
             CASE WHEN has_rival THEN emberkeep_canonical(histogram) END DESC,
             coalesce(epoch_ms(start_timestamp), 0) DESC
) = 1;

-- Indices of the buckets that spans describe: the first offset is an index, each later one a gap.
CREATE OR REPLACE MACRO emberkeep_indices(offsets, lengths) AS
    flatten([
        range(
            (list_sum(offsets[1:k]) + coalesce(list_sum(lengths[1:k - 1]), 0))::BIGINT,
            (list_sum(offsets[1:k]) + list_sum(lengths[1:k]))::BIGINT
        )
        FOR k IN range(1, len(offsets) + 1)
    ]);

-- 2^(2^-schema * i). The last finite bound is the largest double, as in Prometheus.
CREATE OR REPLACE MACRO emberkeep_bound(schema, i) AS
    CASE WHEN i = 1024 * pow(2, schema) THEN 1.7976931348623157e308
         ELSE pow(2, i * pow(2, -schema) - floor(i * pow(2, -schema))) * pow(2, floor(i * pow(2, -schema)))
    END;

-- Buckets of positive values hold lower < x <= upper, of negative values lower <= x < upper, the zero bucket both bounds.
-- `bucket` is Prometheus' index; with custom bounds (schema -53) bucket i ends at bound i, counted from 0, and the one after the last is open.
CREATE OR REPLACE VIEW histogram_buckets AS
WITH whole AS (
    SELECT tenant, metric_name, labels, timestamp, schema, zero_threshold, custom_values, float_count IS NOT NULL AS is_float,
           positive_span_offsets, positive_span_lengths, negative_span_offsets, negative_span_lengths,
           zero_count, float_zero_count, positive_buckets, negative_buckets, float_positive_buckets, float_negative_buckets
    FROM histograms
    WHERE NOT emberkeep_is_stale(sum)
), buckets AS (
    SELECT * EXCLUDE (indices, integer_counts, counts), unnest(indices) AS bucket,
           unnest(CASE WHEN is_float THEN NULL ELSE integer_counts END) AS integer_count,
           unnest(CASE WHEN is_float THEN counts ELSE integer_counts::DOUBLE[] END) AS count
    FROM (
        SELECT tenant, metric_name, labels, timestamp, schema, custom_values, is_float, 'positive' AS side,
               emberkeep_indices(positive_span_offsets, positive_span_lengths) AS indices,
               positive_buckets AS integer_counts, float_positive_buckets AS counts
        FROM whole
        UNION ALL
        SELECT tenant, metric_name, labels, timestamp, schema, custom_values, is_float, 'negative',
               emberkeep_indices(negative_span_offsets, negative_span_lengths),
               negative_buckets, float_negative_buckets
        FROM whole
    )
)
SELECT tenant, metric_name, labels, timestamp, schema, side, bucket,
       CASE WHEN schema = -53 THEN CASE WHEN bucket = 0 THEN '-inf'::DOUBLE ELSE custom_values[bucket] END
            WHEN side = 'positive' THEN emberkeep_bound(schema, bucket - 1)
            ELSE -emberkeep_bound(schema, bucket) END AS lower,
       CASE WHEN schema = -53 THEN coalesce(custom_values[bucket + 1], 'inf'::DOUBLE)
            WHEN side = 'positive' THEN emberkeep_bound(schema, bucket)
            ELSE -emberkeep_bound(schema, bucket - 1) END AS upper,
       count, integer_count
FROM buckets
UNION ALL
SELECT tenant, metric_name, labels, timestamp, schema, 'zero', NULL, -zero_threshold, zero_threshold,
       coalesce(float_zero_count, emberkeep_unsigned(zero_count)::DOUBLE), zero_count
FROM whole
WHERE schema != -53;

-- A set: equal ones are one, and any number may share a timestamp.
CREATE OR REPLACE VIEW exemplars AS
SELECT s.tenant, any_value(s.metric_name) AS metric_name, s.labels, e.timestamp, any_value(e.value) AS value,
       e.labels AS exemplar_labels
FROM exemplars_of_parts AS e JOIN series_of_parts AS s USING (part, series_id)
WHERE NOT EXISTS (
    FROM deletions AS d
    WHERE d.tenant = s.tenant AND d.labels = s.labels AND epoch_ms(e.timestamp) >= d.first_ms AND epoch_ms(e.timestamp) < d.end_ms
)
GROUP BY s.tenant, s.labels, e.timestamp, e.value::BIT, e.labels;

CREATE OR REPLACE VIEW metadata AS
SELECT m.tenant, m.family, s.labels, m.type, m.unit, m.help, min(m.first_seen) AS first_seen, max(m.last_seen) AS last_seen
FROM metadata_of_parts AS m LEFT JOIN series_of_parts AS s USING (part, series_id)
GROUP BY m.tenant, m.family, s.labels, m.type, m.unit, m.help;
