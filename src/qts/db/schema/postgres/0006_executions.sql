-- Executions and what their stages answered, as in the local book.
CREATE TABLE executions (
    run_id          text COLLATE "C" NOT NULL,
    execution_id    text COLLATE "C" NOT NULL,
    strategy        text NOT NULL,
    pool            text NOT NULL,
    symbol          text NOT NULL,
    side            text NOT NULL,
    qty             numeric NOT NULL,
    kind            text NOT NULL,
    intent          text NOT NULL,
    decision_price  numeric NOT NULL,
    state           text NOT NULL,
    filled          numeric NOT NULL,
    amount          numeric NOT NULL,
    created_at      bigint NOT NULL,
    updated_at      bigint NOT NULL,
    plan            text NOT NULL,
    children        text NOT NULL,
    rounds          bigint NOT NULL,
    code            text NOT NULL,
    reason          text NOT NULL,
    PRIMARY KEY (run_id, execution_id),
    CONSTRAINT executions_is_finite CHECK (abs(qty + decision_price + filled + amount) < 'Infinity')
) WITH (fillfactor = 70);

CREATE TABLE execution_logs (
    run_id       text COLLATE "C" NOT NULL,
    id           bigint NOT NULL,
    timestamp    bigint NOT NULL,
    execution_id text NOT NULL,
    stage        text NOT NULL,
    from_state   text NOT NULL,
    to_state     text NOT NULL,
    order_id     text NOT NULL,
    code         text NOT NULL,
    inputs       text NOT NULL,
    answer       text NOT NULL,
    own_ns       bigint,
    PRIMARY KEY (run_id, id)
);

ALTER FUNCTION qts_put(text, text, jsonb) RENAME TO qts_put_book;

-- Write the rows of a body: those of executions here, all others, batches among them, behind them.
CREATE FUNCTION qts_put(p_run text, p_account text, p_body jsonb) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    IF p_body ? 'executions' THEN
        INSERT INTO executions (
            run_id, execution_id, strategy, pool, symbol, side, qty, kind, intent, decision_price, state,
            filled, amount, created_at, updated_at, plan, children, rounds, code, reason
        ) SELECT
            p_run, r->>0, r->>1, r->>2, r->>3, r->>4, (r->>5)::numeric, r->>6, r->>7, (r->>8)::numeric, r->>9,
            (r->>10)::numeric, (r->>11)::numeric, (r->>12)::bigint, (r->>13)::bigint, r->>14, r->>15,
            (r->>16)::bigint, r->>17, r->>18
        FROM jsonb_array_elements(p_body->'executions') AS r
        ON CONFLICT (run_id, execution_id) DO UPDATE SET
            strategy = excluded.strategy, pool = excluded.pool, symbol = excluded.symbol, side = excluded.side,
            qty = excluded.qty, kind = excluded.kind, intent = excluded.intent, decision_price =
            excluded.decision_price, state = excluded.state, filled = excluded.filled, amount = excluded.amount,
            created_at = excluded.created_at, updated_at = excluded.updated_at, plan = excluded.plan, children =
            excluded.children, rounds = excluded.rounds, code = excluded.code, reason = excluded.reason;
    END IF;
    IF p_body ? 'execution_logs' THEN
        INSERT INTO execution_logs (
            run_id, id, timestamp, execution_id, stage, from_state, to_state, order_id, code, inputs, answer,
            own_ns
        ) SELECT
            p_run, (r->>0)::bigint, (r->>1)::bigint, r->>2, r->>3, r->>4, r->>5, r->>6, r->>7, r->>8, r->>9,
            (r->>10)::bigint
        FROM jsonb_array_elements(p_body->'execution_logs') AS r;
    END IF;
    PERFORM qts_put_book(p_run, p_account, p_body - '{executions, execution_logs}'::text[]);
END
$$;

-- Leave out of a body the rows that are there already, of tables that are only appended to.
CREATE OR REPLACE FUNCTION qts_missing(p_run text, p_body jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path FROM CURRENT AS $$
DECLARE
    v_table text;
    v_rows jsonb;
BEGIN
    FOR v_table, v_rows IN SELECT key, value FROM jsonb_each(p_body) WHERE key = ANY ('{
        t_ledger, capital_transfers, decisions, refusals, state_history, safety_history, equity_curve,
        quarantine, corporate_actions, bars, bookings, day_closes, holding_closes, execution_logs, batches
    }'::text[]) LOOP
        EXECUTE format(
            'SELECT coalesce(jsonb_agg(r), ''[]'') FROM jsonb_array_elements($2) AS r WHERE NOT EXISTS ('
            'SELECT 1 FROM %I AS t WHERE t.run_id = $1 AND t.id = (r->>0)::bigint)', v_table
        ) INTO v_rows USING p_run, v_rows;
        p_body := jsonb_set(p_body, ARRAY[v_table], v_rows);
    END LOOP;
    RETURN p_body;
END
$$;

-- Put bodies together into one: of a row that changes the newest version alone.
CREATE OR REPLACE FUNCTION qts_merged(p_bodies jsonb[]) RETURNS jsonb
LANGUAGE sql IMMUTABLE SET search_path FROM CURRENT AS $$
    WITH rows AS (
        SELECT t.key AS name, r, b.place,
            CASE
                WHEN t.key IN ('orders', 'capital_pools', 'executions') THEN jsonb_build_array(r->0)
                WHEN t.key = 'positions' THEN jsonb_build_array(r->0, r->1)
            END AS key
        FROM unnest(p_bodies) WITH ORDINALITY AS b (body, place), jsonb_each(b.body) AS t,
            jsonb_array_elements(t.value) AS r
    ), newest AS (
        SELECT DISTINCT ON (name, key) name, r FROM rows WHERE key IS NOT NULL ORDER BY name, key, place DESC
    ), tables AS (
        SELECT name, jsonb_agg(r ORDER BY place) AS of_table FROM rows WHERE key IS NULL GROUP BY name
        UNION ALL
        SELECT name, jsonb_agg(r) FROM newest GROUP BY name
    )
    SELECT coalesce(jsonb_object_agg(name, of_table), '{}') FROM tables
$$;
