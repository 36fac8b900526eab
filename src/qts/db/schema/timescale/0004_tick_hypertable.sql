-- The same tables kept by TimescaleDB: market values in chunks of a day, compressed by symbol after a week, and bars of
-- a minute as a continuous aggregate. What was stored before stays; its bars are made again from it.
DROP VIEW tick_levels;
ALTER TABLE tick_data RENAME TO tick_data_before;
ALTER TABLE tick_data_before RENAME CONSTRAINT tick_data_pkey TO tick_data_before_pkey;
ALTER INDEX tick_data_by_time RENAME TO tick_data_before_by_time;

CREATE TABLE tick_data (LIKE tick_data_before INCLUDING DEFAULTS INCLUDING CONSTRAINTS,
    CONSTRAINT tick_data_pkey PRIMARY KEY (symbol, time, seq));
SELECT create_hypertable('tick_data', 'time', chunk_time_interval => interval '1 day',
                         create_default_indexes => false);
CREATE INDEX tick_data_by_time ON tick_data USING brin (time) WITH (autosummarize = on);
INSERT INTO tick_data SELECT * FROM tick_data_before;
DROP TABLE tick_data_before;

CREATE VIEW tick_levels AS
    SELECT d.symbol, d.time, d.ns, d.seq, side.name AS side, n AS level, side.flat[2 * n - 1] AS price,
           side.flat[2 * n] AS size, (d.flags & 1) <> 0 AS snapshot, (d.flags & 2) <> 0 AS after_gap
    FROM tick_data AS d
    CROSS JOIN LATERAL (VALUES ('bid', d.bids), ('ask', d.asks)) AS side (name, flat)
    CROSS JOIN LATERAL generate_series(1, cardinality(side.flat) / 2) AS n
    WHERE d.kind = 'B';

ALTER TABLE tick_data SET (timescaledb.compress, timescaledb.compress_segmentby = 'symbol',
                           timescaledb.compress_orderby = 'time, seq');
SELECT add_compression_policy('tick_data', interval '7 days');

SELECT create_hypertable('ohlcv_1d', 'time', chunk_time_interval => interval '30 days', migrate_data => true,
                         create_default_indexes => false);

DROP TABLE ohlcv_1m;
CREATE MATERIALIZED VIEW ohlcv_1m WITH (timescaledb.continuous, timescaledb.materialized_only = true) AS
    SELECT symbol, time_bucket(interval '1 minute', time) AS time, first(price, seq) AS open, max(price) AS high,
           min(price) AS low, last(price, seq) AS close, sum(size) AS volume, sum(price * size) AS value,
           count(*) AS trades, min(seq) AS first_seq, max(seq) AS last_seq
    FROM tick_data
    WHERE kind IN ('T', 'Q') AND price IS NOT NULL AND size > 0
    GROUP BY symbol, time_bucket(interval '1 minute', time)
    WITH NO DATA;
SELECT add_continuous_aggregate_policy('ohlcv_1m', start_offset => interval '1 hour',
    end_offset => interval '1 minute', schedule_interval => interval '1 minute');

-- TimescaleDB makes chunks by itself.
CREATE OR REPLACE FUNCTION qts_make_tick_day(wanted date) RETURNS void
LANGUAGE sql SET search_path FROM CURRENT AS '';

-- The bars of the minutes of a day are refreshed by qts_tick_upkeep, before this is called.
CREATE OR REPLACE FUNCTION qts_roll_minutes(from_time timestamptz, to_time timestamptz) RETURNS bigint
LANGUAGE sql SET search_path FROM CURRENT AS 'SELECT 0::bigint';

CREATE OR REPLACE FUNCTION qts_drop_tick_day(wanted date, keep_days integer) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM 1 FROM tick_days WHERE day = wanted FOR UPDATE;
    IF NOT EXISTS (SELECT 1 FROM qts_days_to_drop(keep_days) AS d WHERE d = wanted) THEN
        RETURN false;
    END IF;
    PERFORM drop_chunks('tick_data', older_than => (wanted + 1)::timestamp AT TIME ZONE 'UTC',
                        newer_than => wanted::timestamp AT TIME ZONE 'UTC');
    DELETE FROM tick_days WHERE day = wanted;
    RETURN true;
END $$;

-- Whole chunks go, from before the oldest day that has values.
CREATE OR REPLACE FUNCTION qts_drop_minutes(keep_days integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    oldest date := least((now() AT TIME ZONE 'UTC')::date - keep_days, (SELECT min(day) FROM tick_days));
    gone   bigint := 0;
BEGIN
    IF keep_days > 0 THEN
        SELECT count(*) INTO gone FROM drop_chunks('ohlcv_1m', older_than => oldest::timestamp AT TIME ZONE 'UTC');
    END IF;
    RETURN gone;
END $$;

-- The job of TimescaleDB that does what our own scheduler does elsewhere: bars of days, then what is to go.
CREATE PROCEDURE qts_tick_upkeep(job_id integer, config jsonb) LANGUAGE plpgsql AS $$
DECLARE
    one date;
BEGIN
    PERFORM set_config('search_path', config ->> 'search_path', false);  -- a procedure that commits may not SET it
    FOR one IN SELECT * FROM qts_days_to_roll() LOOP
        CALL refresh_continuous_aggregate('ohlcv_1m', one::timestamp AT TIME ZONE 'UTC',
                                          (one + 1)::timestamp AT TIME ZONE 'UTC');
        PERFORM qts_roll_day(one);
        COMMIT;
    END LOOP;
    FOR one IN SELECT * FROM qts_days_to_drop((config ->> 'tick_days')::integer) LOOP
        PERFORM qts_drop_tick_day(one, (config ->> 'tick_days')::integer);
        COMMIT;
    END LOOP;
    PERFORM qts_drop_minutes((config ->> 'minute_days')::integer);
END $$;
SELECT add_job('qts_tick_upkeep', interval '1 minute', config => jsonb_build_object(
    'tick_days', 30, 'minute_days', 30, 'search_path', current_setting('search_path')));

-- Set for how many days the job keeps values and bars of a minute; 0 keeps them all.
CREATE FUNCTION qts_keep_ticks(tick_days integer, minute_days integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    wanted jsonb := jsonb_build_object('tick_days', tick_days, 'minute_days', minute_days);
BEGIN
    PERFORM alter_job(job_id, config => config || wanted) FROM timescaledb_information.jobs
        WHERE proc_name = 'qts_tick_upkeep' AND proc_schema = current_schema() AND NOT config @> wanted;
END $$;

REVOKE EXECUTE ON FUNCTION qts_make_tick_day(date), qts_roll_minutes(timestamptz, timestamptz),
    qts_drop_tick_day(date, integer), qts_drop_minutes(integer), qts_keep_ticks(integer, integer) FROM PUBLIC;
REVOKE EXECUTE ON PROCEDURE qts_tick_upkeep(integer, jsonb) FROM PUBLIC;
