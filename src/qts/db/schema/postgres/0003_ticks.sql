-- Market values as they came, one row each. A value was known at time + ns; seq orders values of equal time, and is
-- recording * 2^40 + the number of the value in its recording.
-- kind: Q quote, T trade, B change of a book, I index level, V volatility level.
-- flags: 1 snapshot, 2 after a gap, 4 the buyer was passive, 8 the seller was passive.
-- price, size: the trade; of a quote its last price, and the size if it tells of a trade.
-- bids, asks: the changed levels of a book in their order, as price, size, price, size and so on.
CREATE TABLE tick_data (
    time     timestamptz NOT NULL,
    ns       smallint    NOT NULL,
    seq      bigint      NOT NULL,
    symbol   text COLLATE "C" NOT NULL,
    kind     "char"      NOT NULL,
    flags    smallint    NOT NULL,
    price    numeric,
    size     numeric,
    bid      numeric,
    ask      numeric,
    bid_size numeric,
    ask_size numeric,
    volume   numeric,
    level    double precision,
    day      text,
    bids     numeric[],
    asks     numeric[],
    PRIMARY KEY (symbol, time, seq),
    CONSTRAINT tick_data_ns_is_below_a_microsecond CHECK (ns BETWEEN 0 AND 999),
    CONSTRAINT tick_data_kind_is_known CHECK (kind IN ('Q', 'T', 'B', 'I', 'V')),
    -- NaN sorts above Infinity, so two comparisons refuse all three values that are no number.
    CONSTRAINT tick_data_is_finite CHECK (
        price > '-Infinity' AND price < 'Infinity' AND size > '-Infinity' AND size < 'Infinity'
        AND bid > '-Infinity' AND bid < 'Infinity' AND ask > '-Infinity' AND ask < 'Infinity'
        AND bid_size > '-Infinity' AND bid_size < 'Infinity' AND ask_size > '-Infinity' AND ask_size < 'Infinity'
        AND volume > '-Infinity' AND volume < 'Infinity' AND level > '-Infinity' AND level < 'Infinity'
        AND '-Infinity' < ALL (bids) AND 'Infinity' > ALL (bids)
        AND '-Infinity' < ALL (asks) AND 'Infinity' > ALL (asks))
) PARTITION BY RANGE (time);

CREATE INDEX tick_data_by_time ON tick_data USING brin (time) WITH (autosummarize = on);

-- What values came from, by name: the same source has the same number in every session, so that what is recorded a
-- second time changes nothing. max_age_ns and currency are those of its feed.
CREATE TABLE tick_recordings (
    number     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source     text        NOT NULL UNIQUE,
    currency   text        NOT NULL,
    max_age_ns bigint      NOT NULL,
    began      timestamptz NOT NULL DEFAULT now()
);

-- The days (UTC) that have market values: when one was last written to, and when its bars were last made.
CREATE TABLE tick_days (
    day     date        PRIMARY KEY,
    changed timestamptz NOT NULL,
    rolled  timestamptz
);

-- Bars of trades. first_seq and last_seq are those of its open and its close; value is the sum of price * size.
CREATE TABLE ohlcv_1m (
    symbol    text COLLATE "C" NOT NULL,
    time      timestamptz NOT NULL,
    open      numeric     NOT NULL,
    high      numeric     NOT NULL,
    low       numeric     NOT NULL,
    close     numeric     NOT NULL,
    volume    numeric     NOT NULL,
    value     numeric     NOT NULL,
    trades    bigint      NOT NULL,
    first_seq bigint      NOT NULL,
    last_seq  bigint      NOT NULL,
    PRIMARY KEY (symbol, time)
);

-- Bars of days (UTC), which are never dropped.
CREATE TABLE ohlcv_1d (
    symbol    text COLLATE "C" NOT NULL,
    time      timestamptz NOT NULL,
    open      numeric     NOT NULL,
    high      numeric     NOT NULL,
    low       numeric     NOT NULL,
    close     numeric     NOT NULL,
    volume    numeric     NOT NULL,
    value     numeric     NOT NULL,
    trades    bigint      NOT NULL,
    first_seq bigint      NOT NULL,
    last_seq  bigint      NOT NULL,
    PRIMARY KEY (symbol, time)
);

-- Make room for values of a day: here a partition of it. Idempotent; only one call at a time.
CREATE FUNCTION qts_make_tick_day(wanted date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    part text := 'tick_data_' || to_char(wanted, 'YYYYMMDD');
BEGIN
    IF to_regclass(quote_ident(part)) IS NOT NULL THEN
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(20817, 3);
    IF to_regclass(quote_ident(part)) IS NOT NULL THEN
        RETURN;
    END IF;
    -- Made beside the table and then attached: that waits for no reader or writer of the other days.
    EXECUTE format('CREATE TABLE %I (LIKE tick_data INCLUDING ALL)', part);
    EXECUTE format('ALTER TABLE tick_data ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', part,
                   wanted::timestamp AT TIME ZONE 'UTC', (wanted + 1)::timestamp AT TIME ZONE 'UTC');
END $$;

-- Announce that values of these days are about to be written. They are to be there within a minute.
CREATE FUNCTION qts_mark_tick_days(days date[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    one date;
BEGIN
    FOR one IN SELECT DISTINCT d FROM unnest(days) AS d ORDER BY d LOOP
        PERFORM qts_make_tick_day(one);
        INSERT INTO tick_days (day, changed) VALUES (one, clock_timestamp())
            ON CONFLICT (day) DO UPDATE SET changed = excluded.changed;
    END LOOP;
END $$;

-- Return the number of a recording, a new one for a source that is not known.
CREATE FUNCTION qts_tick_recording(of_source text, of_currency text, of_max_age_ns bigint) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    found bigint;
BEGIN
    SELECT number INTO found FROM tick_recordings WHERE source = of_source;
    IF found IS NULL THEN
        INSERT INTO tick_recordings (source, currency, max_age_ns) VALUES (of_source, of_currency, of_max_age_ns)
            ON CONFLICT (source) DO NOTHING;
        SELECT number INTO found FROM tick_recordings WHERE source = of_source;
    END IF;
    RETURN found;
END $$;

-- Make the bars of a minute between two moments, or make them again; both are whole minutes.
CREATE FUNCTION qts_roll_minutes(from_time timestamptz, to_time timestamptz) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    made bigint;
BEGIN
    INSERT INTO ohlcv_1m AS b (symbol, time, open, high, low, close, volume, value, trades, first_seq, last_seq)
        SELECT symbol, date_bin('1 minute', time, 'epoch'), (min(ARRAY[seq, price]))[2], max(price), min(price),
               (max(ARRAY[seq, price]))[2], sum(size), sum(price * size), count(*), min(seq), max(seq)
        FROM tick_data
        WHERE time >= from_time AND time < to_time AND kind IN ('T', 'Q') AND price IS NOT NULL AND size > 0
        GROUP BY 1, 2
        ON CONFLICT (symbol, time) DO UPDATE SET
            open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close,
            volume = excluded.volume, value = excluded.value, trades = excluded.trades,
            first_seq = excluded.first_seq, last_seq = excluded.last_seq
        WHERE (b.trades, b.first_seq, b.last_seq) IS DISTINCT FROM
              (excluded.trades, excluded.first_seq, excluded.last_seq);
    GET DIAGNOSTICS made = ROW_COUNT;
    RETURN made;
END $$;

-- Make the bars of a day, of its minutes too, from its values; return how many bars of the day there are.
CREATE FUNCTION qts_roll_day(wanted date) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    begins timestamptz := wanted::timestamp AT TIME ZONE 'UTC';
    ends   timestamptz := (wanted + 1)::timestamp AT TIME ZONE 'UTC';
    made   bigint;
BEGIN
    PERFORM qts_roll_minutes(begins, ends);
    INSERT INTO ohlcv_1d (symbol, time, open, high, low, close, volume, value, trades, first_seq, last_seq)
        SELECT symbol, begins, (min(ARRAY[seq, price]))[2], max(price), min(price), (max(ARRAY[seq, price]))[2],
               sum(size), sum(price * size), count(*), min(seq), max(seq)
        FROM tick_data
        WHERE time >= begins AND time < ends AND kind IN ('T', 'Q') AND price IS NOT NULL AND size > 0
        GROUP BY 1
        ON CONFLICT (symbol, time) DO UPDATE SET
            open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close,
            volume = excluded.volume, value = excluded.value, trades = excluded.trades,
            first_seq = excluded.first_seq, last_seq = excluded.last_seq;
    GET DIAGNOSTICS made = ROW_COUNT;
    UPDATE tick_days SET rolled = now() WHERE day = wanted;
    RETURN made;
END $$;

-- Return the days whose bars are older than their values, or have none: those that were not written to for a minute.
CREATE FUNCTION qts_days_to_roll() RETURNS SETOF date
LANGUAGE sql STABLE SET search_path FROM CURRENT AS $$
    SELECT day FROM tick_days
    WHERE changed < now() - interval '1 minute'
      AND (rolled IS NULL OR rolled < changed + interval '1 minute') ORDER BY day
$$;

-- Return the days whose values are to go: over for so many days, not written to for as long, and made into bars.
CREATE FUNCTION qts_days_to_drop(keep_days integer) RETURNS SETOF date
LANGUAGE sql STABLE SET search_path FROM CURRENT AS $$
    SELECT day FROM tick_days
    WHERE keep_days > 0 AND day < (now() AT TIME ZONE 'UTC')::date - keep_days
      AND changed < now() - make_interval(days => keep_days) AND rolled >= changed + interval '1 minute'
    ORDER BY day
$$;

-- Drop the values of a day, if qts_days_to_drop still names it; return whether it did.
CREATE FUNCTION qts_drop_tick_day(wanted date, keep_days integer) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(20817, 3);
    PERFORM 1 FROM tick_days WHERE day = wanted FOR UPDATE;
    IF NOT EXISTS (SELECT 1 FROM qts_days_to_drop(keep_days) AS d WHERE d = wanted) THEN
        RETURN false;
    END IF;
    EXECUTE format('DROP TABLE IF EXISTS %I', 'tick_data_' || to_char(wanted, 'YYYYMMDD'));
    DELETE FROM tick_days WHERE day = wanted;
    RETURN true;
END $$;

-- Drop bars of a minute that are older than so many days and whose values are gone; return how many went.
CREATE FUNCTION qts_drop_minutes(keep_days integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    gone bigint;
BEGIN
    DELETE FROM ohlcv_1m
        WHERE keep_days > 0 AND time < ((now() AT TIME ZONE 'UTC')::date - keep_days)::timestamp AT TIME ZONE 'UTC'
          AND NOT EXISTS (SELECT 1 FROM tick_days WHERE day = (time AT TIME ZONE 'UTC')::date);
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN gone;
END $$;

REVOKE EXECUTE ON FUNCTION qts_make_tick_day(date), qts_mark_tick_days(date[]),
    qts_tick_recording(text, text, bigint), qts_roll_minutes(timestamptz, timestamptz), qts_roll_day(date),
    qts_drop_tick_day(date, integer), qts_drop_minutes(integer) FROM PUBLIC;

-- The levels of changes of books, one row each: level counts those of a side from 1; size 0 takes a price out.
CREATE VIEW tick_levels AS
    SELECT d.symbol, d.time, d.ns, d.seq, side.name AS side, n AS level, side.flat[2 * n - 1] AS price,
           side.flat[2 * n] AS size, (d.flags & 1) <> 0 AS snapshot, (d.flags & 2) <> 0 AS after_gap
    FROM tick_data AS d
    CROSS JOIN LATERAL (VALUES ('bid', d.bids), ('ask', d.asks)) AS side (name, flat)
    CROSS JOIN LATERAL generate_series(1, cardinality(side.flat) / 2) AS n
    WHERE d.kind = 'B';
