-- Nothing is committed yet: the same views without rows.
CREATE OR REPLACE VIEW series AS
SELECT ''::VARCHAR AS tenant, ''::VARCHAR AS metric_name, MAP {'': ''} AS labels,
       now()::TIMESTAMPTZ AS min_time, now()::TIMESTAMPTZ AS max_time
WHERE false;

CREATE OR REPLACE VIEW samples AS
SELECT ''::VARCHAR AS tenant, ''::VARCHAR AS metric_name, MAP {'': ''} AS labels,
       now()::TIMESTAMPTZ AS timestamp, 0::DOUBLE AS value, now()::TIMESTAMPTZ AS start_timestamp
WHERE false;
