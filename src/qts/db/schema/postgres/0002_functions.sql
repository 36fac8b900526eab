-- What a follower calls. Each call is one transaction of its own, and writes all of what it was given or nothing.
-- Refusals have codes: QTGAP a gap (DETAIL: the number that is needed), QTFEN another writer, QTACC another
-- account. A body is {"table": [[value, ...], ...]}: the values of a row in the order of the columns below, its
-- number first in a table that is only appended to.

-- Take the right to write a run, for as long as the connection lasts; with p_account_whole of all of its account's
-- runs that have a real broker. p_known: the epoch of an earlier claim that is continued behind a lost connection,
-- whose server process p_lost may not have noticed it yet; 0 for a new claim. Returns the epoch.
CREATE FUNCTION qts_claim(
    p_run text, p_account text, p_account_whole boolean, p_known bigint, p_lost integer, p_holder text
) RETURNS bigint LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    v_key bigint := hashtextextended(
        'qts ' || CASE WHEN p_account_whole THEN 'account ' || p_account ELSE 'run ' || p_run END, 0
    );
    v_account text;
    v_epoch bigint;
    v_holder text;
BEGIN
    INSERT INTO run_progress (run_id, account) VALUES (p_run, p_account) ON CONFLICT (run_id) DO NOTHING;
    SELECT account INTO v_account FROM run_progress WHERE run_id = p_run;
    IF v_account <> p_account THEN
        RAISE EXCEPTION 'run % is of account % here, not of account %', p_run, v_account, p_account
            USING ERRCODE = 'QTACC';
    END IF;
    IF NOT pg_try_advisory_lock(v_key) THEN
        -- Of a claim that is continued, the process that holds the lock may be the one whose connection was lost.
        IF p_known > 0 AND EXISTS (
            SELECT 1 FROM pg_locks
            WHERE locktype = 'advisory' AND pid = p_lost AND granted
              AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
              AND classid::bigint = (v_key >> 32) & 4294967295 AND objid::bigint = v_key & 4294967295
        ) THEN
            PERFORM pg_terminate_backend(p_lost, 1000);
        END IF;
        IF p_known = 0 OR NOT pg_try_advisory_lock(v_key) THEN
            SELECT holder INTO v_holder FROM run_progress
            WHERE run_id = p_run OR (p_account_whole AND account = p_account AND real_broker)
            ORDER BY epoch DESC LIMIT 1;
            RAISE EXCEPTION 'it is written by %', v_holder USING ERRCODE = 'QTFEN';
        END IF;
    END IF;
    SELECT epoch, holder INTO v_epoch, v_holder FROM run_progress
    WHERE run_id = p_run OR (p_account_whole AND account = p_account AND real_broker)
    ORDER BY epoch DESC LIMIT 1;
    IF p_known > 0 AND v_epoch > p_known THEN
        RAISE EXCEPTION 'it was taken over by %', v_holder USING ERRCODE = 'QTFEN';
    END IF;
    IF p_known > 0 THEN
        v_epoch := p_known;
    ELSE
        -- Above every one before, also above those that a server which was restored from a backup has forgotten.
        v_epoch := greatest(v_epoch + 1, (extract(epoch FROM clock_timestamp()) * 1000)::bigint);
    END IF;
    UPDATE run_progress
    SET epoch = v_epoch, holder = p_holder, changed_at = now(),
        real_broker = real_broker OR (p_account_whole AND run_id = p_run)
    WHERE run_id = p_run OR (p_account_whole AND account = p_account AND real_broker);
    RETURN v_epoch;
EXCEPTION WHEN OTHERS THEN
    -- A lock of the connection outlives the transaction that took it.
    PERFORM pg_advisory_unlock(v_key) FROM pg_locks
    WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND granted
      AND classid::bigint = (v_key >> 32) & 4294967295 AND objid::bigint = v_key & 4294967295;
    RAISE;
END
$$;

-- Return how far a run has come. Refuses a writer of an epoch before the last claim. One of a later epoch goes on: the
-- server was made again or restored from a backup, and no one has claimed the run since. The row stays locked until
-- the transaction ends.
CREATE FUNCTION qts_progress(p_run text, p_epoch bigint) RETURNS run_progress
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    v_progress run_progress;
BEGIN
    SELECT * INTO v_progress FROM run_progress WHERE run_id = p_run FOR UPDATE;
    IF v_progress.epoch > p_epoch THEN
        RAISE EXCEPTION 'it was taken over by %', v_progress.holder USING ERRCODE = 'QTFEN';
    ELSIF v_progress.epoch < p_epoch THEN
        UPDATE run_progress SET epoch = p_epoch WHERE run_id = p_run;
        v_progress.epoch := p_epoch;
    END IF;
    RETURN v_progress;
END
$$;

-- Write the rows of a body, table by table. One that is there already is refused in a table that is only appended to.
CREATE FUNCTION qts_put(p_run text, p_account text, p_body jsonb) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    v_unknown jsonb;
BEGIN
    v_unknown := p_body - '{
        t_ledger, capital_transfers, decisions, refusals, state_history, safety_history, equity_curve,
        quarantine, corporate_actions, bars, bookings, day_closes, holding_closes, positions, capital_pools,
        orders, batches
    }'::text[];
    IF v_unknown <> '{}' THEN
        RAISE EXCEPTION 'table % is not known here; the server needs the newer schema',
            (SELECT min(name) FROM jsonb_object_keys(v_unknown) AS name) USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF p_body ? 't_ledger' THEN
        INSERT INTO t_ledger (
            run_id, id, timestamp, symbol, side, qty, price, amount, fee, tax, realized_pnl, strategy_tag,
            pool, order_id, execution_id, broker, account, trade_date, digest
        ) SELECT
            p_run, (r->>0)::bigint, (r->>1)::bigint, r->>2, r->>3, (r->>4)::numeric, (r->>5)::numeric,
            (r->>6)::numeric, (r->>7)::numeric, (r->>8)::numeric, (r->>9)::numeric, r->>10, r->>11, r->>12,
            r->>13, r->>14, r->>15, r->>16, r->>17
        FROM jsonb_array_elements(p_body->'t_ledger') AS r;
    END IF;
    IF p_body ? 'capital_transfers' THEN
        INSERT INTO capital_transfers (
            account, run_id, id, transfer_id, leg, other_leg, timestamp, pool, amount, rule, reason, digest
        ) SELECT
            p_account, p_run, (r->>0)::bigint, r->>1, (r->>2)::smallint, (r->>3)::smallint, (r->>4)::bigint,
            r->>5, (r->>6)::numeric, r->>7, r->>8, r->>9
        FROM jsonb_array_elements(p_body->'capital_transfers') AS r;
    END IF;
    IF p_body ? 'decisions' THEN
        INSERT INTO decisions (
            run_id, id, approval_id, decision_id, client_order_id, timestamp, expires_at, config_hash,
            inputs, digest
        ) SELECT
            p_run, (r->>0)::bigint, r->>1, r->>2, r->>3, (r->>4)::bigint, (r->>5)::bigint, r->>6, r->>7,
            r->>8
        FROM jsonb_array_elements(p_body->'decisions') AS r;
    END IF;
    IF p_body ? 'refusals' THEN
        INSERT INTO refusals (
            run_id, id, decision_id, timestamp, strategy, symbol, side, reason, detail
        ) SELECT
            p_run, (r->>0)::bigint, r->>1, (r->>2)::bigint, r->>3, r->>4, r->>5, r->>6, r->>7
        FROM jsonb_array_elements(p_body->'refusals') AS r;
    END IF;
    IF p_body ? 'state_history' THEN
        INSERT INTO state_history (
            run_id, id, seq, timestamp, from_state, to_state, reason, meta, digest
        ) SELECT
            p_run, (r->>0)::bigint, (r->>1)::bigint, (r->>2)::bigint, r->>3, r->>4, r->>5, r->>6, r->>7
        FROM jsonb_array_elements(p_body->'state_history') AS r;
    END IF;
    IF p_body ? 'safety_history' THEN
        INSERT INTO safety_history (
            run_id, id, seq, timestamp, from_state, to_state, code, actor, reason, digest
        ) SELECT
            p_run, (r->>0)::bigint, (r->>1)::bigint, (r->>2)::bigint, r->>3, r->>4, r->>5, r->>6, r->>7,
            r->>8
        FROM jsonb_array_elements(p_body->'safety_history') AS r;
    END IF;
    IF p_body ? 'equity_curve' THEN
        INSERT INTO equity_curve (
            run_id, id, timestamp, equity, cash, scalp, swing, portfolio, state, safety
        ) SELECT
            p_run, (r->>0)::bigint, (r->>1)::bigint, (r->>2)::numeric, (r->>3)::numeric, (r->>4)::numeric,
            (r->>5)::numeric, (r->>6)::numeric, r->>7, r->>8
        FROM jsonb_array_elements(p_body->'equity_curve') AS r;
    END IF;
    IF p_body ? 'quarantine' THEN
        INSERT INTO quarantine (
            run_id, id, timestamp, code, reason, notice
        ) SELECT
            p_run, (r->>0)::bigint, (r->>1)::bigint, r->>2, r->>3, r->>4
        FROM jsonb_array_elements(p_body->'quarantine') AS r;
    END IF;
    IF p_body ? 'corporate_actions' THEN
        INSERT INTO corporate_actions (
            run_id, id, timestamp, kind, symbol, strategy, pool, held, change, new_shares, old_shares,
            price, amount, tax, realized_pnl, account, ex_date, digest
        ) SELECT
            p_run, (r->>0)::bigint, (r->>1)::bigint, r->>2, r->>3, r->>4, r->>5, (r->>6)::numeric,
            (r->>7)::numeric, (r->>8)::numeric, (r->>9)::numeric, (r->>10)::numeric, (r->>11)::numeric,
            (r->>12)::numeric, (r->>13)::numeric, r->>14, r->>15, r->>16
        FROM jsonb_array_elements(p_body->'corporate_actions') AS r;
    END IF;
    IF p_body ? 'bars' THEN
        INSERT INTO bars (
            run_id, id, symbol, interval, timestamp, begun, open, high, low, close, volume, value, trades,
            partial, day
        ) SELECT
            p_run, (r->>0)::bigint, r->>1, r->>2, (r->>3)::bigint, (r->>4)::bigint, (r->>5)::numeric,
            (r->>6)::numeric, (r->>7)::numeric, (r->>8)::numeric, (r->>9)::numeric, (r->>10)::numeric,
            (r->>11)::bigint, (r->>12)::smallint, r->>13
        FROM jsonb_array_elements(p_body->'bars') AS r;
    END IF;
    IF p_body ? 'bookings' THEN
        INSERT INTO bookings (
            run_id, id, timestamp, kind, owner, strategy, symbol, qty, price, amount, fee, tax, cost,
            realized_pnl, broker, order_id, reference, day, actor, reason, account, digest
        ) SELECT
            p_run, (r->>0)::bigint, (r->>1)::bigint, r->>2, r->>3, r->>4, r->>5, (r->>6)::numeric,
            (r->>7)::numeric, (r->>8)::numeric, (r->>9)::numeric, (r->>10)::numeric, (r->>11)::numeric,
            (r->>12)::numeric, r->>13, r->>14, r->>15, r->>16, r->>17, r->>18, r->>19, r->>20
        FROM jsonb_array_elements(p_body->'bookings') AS r;
    END IF;
    IF p_body ? 'day_closes' THEN
        INSERT INTO day_closes (
            run_id, id, account, day, timestamp, fills, actions, transfers, bookings, orders, causes,
            newest_trade_date, equity, scalp_cash, scalp_realized, scalp_at, swing_cash, swing_realized,
            swing_at, portfolio_cash, portfolio_realized, portfolio_at, fees, taxes, dividends,
            dividend_taxes, fractions, deposits, withdrawals, adjustments, contributions, contributed_value,
            external_cash, external_realized, digest
        ) SELECT
            p_run, (r->>0)::bigint, r->>1, r->>2, (r->>3)::bigint, (r->>4)::bigint, (r->>5)::bigint,
            (r->>6)::bigint, (r->>7)::bigint, (r->>8)::bigint, (r->>9)::bigint, r->>10, (r->>11)::numeric,
            (r->>12)::numeric, (r->>13)::numeric, (r->>14)::bigint, (r->>15)::numeric, (r->>16)::numeric,
            (r->>17)::bigint, (r->>18)::numeric, (r->>19)::numeric, (r->>20)::bigint, (r->>21)::numeric,
            (r->>22)::numeric, (r->>23)::numeric, (r->>24)::numeric, (r->>25)::numeric, (r->>26)::numeric,
            (r->>27)::numeric, (r->>28)::numeric, (r->>29)::numeric, (r->>30)::numeric, (r->>31)::numeric,
            (r->>32)::numeric, r->>33
        FROM jsonb_array_elements(p_body->'day_closes') AS r;
    END IF;
    IF p_body ? 'holding_closes' THEN
        INSERT INTO holding_closes (
            run_id, id, account, day, owner, strategy, symbol, qty, cost, basis, realized, timestamp,
            broker, execution_id, order_id, digest
        ) SELECT
            p_run, (r->>0)::bigint, r->>1, r->>2, r->>3, r->>4, r->>5, (r->>6)::numeric, (r->>7)::numeric,
            (r->>8)::numeric, (r->>9)::numeric, (r->>10)::bigint, r->>11, r->>12, r->>13, r->>14
        FROM jsonb_array_elements(p_body->'holding_closes') AS r;
    END IF;
    IF p_body ? 'positions' THEN
        INSERT INTO positions (
            account, run_id, strategy, symbol, pool, qty, cost, updated_at
        ) SELECT
            p_account, p_run, r->>0, r->>1, r->>2, (r->>3)::numeric, (r->>4)::numeric, (r->>5)::bigint
        FROM jsonb_array_elements(p_body->'positions') AS r
        ON CONFLICT (account, run_id, strategy, symbol) DO UPDATE SET
            pool = excluded.pool, qty = excluded.qty, cost = excluded.cost, updated_at = excluded.updated_at;
    END IF;
    IF p_body ? 'capital_pools' THEN
        INSERT INTO capital_pools (
            account, run_id, pool, cash, realized_pnl, updated_at
        ) SELECT
            p_account, p_run, r->>0, (r->>1)::numeric, (r->>2)::numeric, (r->>3)::bigint
        FROM jsonb_array_elements(p_body->'capital_pools') AS r
        ON CONFLICT (account, run_id, pool) DO UPDATE SET
            cash = excluded.cash, realized_pnl = excluded.realized_pnl, updated_at = excluded.updated_at;
    END IF;
    IF p_body ? 'orders' THEN
        INSERT INTO orders (
            run_id, client_order_id, decision_id, approval_id, strategy, pool, symbol, side, qty, price,
            decision_price, state, filled, created_at, updated_at, venue_refs, reduce_only, forced, reason,
            note, type, time_in_force, venue, parent_id, expires_at, stop_price, tag
        ) SELECT
            p_run, r->>0, r->>1, r->>2, r->>3, r->>4, r->>5, r->>6, (r->>7)::numeric, (r->>8)::numeric,
            (r->>9)::numeric, r->>10, (r->>11)::numeric, (r->>12)::bigint, (r->>13)::bigint, r->>14,
            (r->>15)::smallint, (r->>16)::smallint, r->>17, r->>18, r->>19, r->>20, r->>21, r->>22,
            (r->>23)::bigint, (r->>24)::numeric, r->>25
        FROM jsonb_array_elements(p_body->'orders') AS r
        ON CONFLICT (run_id, client_order_id) DO UPDATE SET
            decision_id = excluded.decision_id, approval_id = excluded.approval_id, strategy =
            excluded.strategy, pool = excluded.pool, symbol = excluded.symbol, side = excluded.side, qty =
            excluded.qty, price = excluded.price, decision_price = excluded.decision_price, state =
            excluded.state, filled = excluded.filled, created_at = excluded.created_at, updated_at =
            excluded.updated_at, venue_refs = excluded.venue_refs, reduce_only = excluded.reduce_only,
            forced = excluded.forced, reason = excluded.reason, note = excluded.note, type = excluded.type,
            time_in_force = excluded.time_in_force, venue = excluded.venue, parent_id = excluded.parent_id,
            expires_at = excluded.expires_at, stop_price = excluded.stop_price, tag = excluded.tag;
    END IF;
    IF p_body ? 'batches' THEN
        INSERT INTO batches (run_id, id, inbox)
        SELECT p_run, (r->>0)::bigint, r->>1
        FROM jsonb_array_elements(p_body->'batches') AS r;
    END IF;
END
$$;

-- Leave out of a body the rows that are there already, of tables that are only appended to.
CREATE FUNCTION qts_missing(p_run text, p_body jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path FROM CURRENT AS $$
DECLARE
    v_table text;
    v_rows jsonb;
BEGIN
    FOR v_table, v_rows IN SELECT key, value FROM jsonb_each(p_body) WHERE key = ANY ('{
        t_ledger, capital_transfers, decisions, refusals, state_history, safety_history, equity_curve,
        quarantine, corporate_actions, bars, bookings, day_closes, holding_closes, batches
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
CREATE FUNCTION qts_merged(p_bodies jsonb[]) RETURNS jsonb
LANGUAGE sql IMMUTABLE SET search_path FROM CURRENT AS $$
    WITH rows AS (
        SELECT t.key AS name, r, b.place,
            CASE
                WHEN t.key IN ('orders', 'capital_pools') THEN jsonb_build_array(r->0)
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

-- Keep the written form of numbers, see written_forms.
CREATE FUNCTION qts_put_forms(p_run text, p_forms jsonb) RETURNS void
LANGUAGE sql SET search_path FROM CURRENT AS $$
    INSERT INTO written_forms (run_id, of_table, id, place, form)
    SELECT p_run, f->>0, (f->>1)::bigint, (f->>2)::smallint, f->>3 FROM jsonb_array_elements(p_forms) AS f
    ON CONFLICT (run_id, of_table, id, place) DO NOTHING
$$;

-- Apply batches of one run: p_first is the number of the first, p_bodies and p_inboxes go together, p_forms is an
-- array of [table, number of the row, place, form] or NULL. One that is applied already changes nothing. Returns
-- the newest applied.
CREATE FUNCTION qts_apply(
    p_run text, p_first bigint, p_epoch bigint, p_bodies jsonb[], p_inboxes text[], p_forms jsonb DEFAULT NULL,
    p_account text DEFAULT NULL
) RETURNS bigint LANGUAGE plpgsql SET search_path FROM CURRENT SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    v_count integer := cardinality(p_bodies);
    v_last bigint := p_first + v_count - 1;
    v_body jsonb;
    v_loading bigint;
    v_account text;
BEGIN
    UPDATE run_progress SET applied = v_last, changed_at = now()
    WHERE run_id = p_run AND epoch = p_epoch AND applied = p_first - 1
      AND (p_account IS NULL OR account = p_account)
    RETURNING loading, account INTO v_loading, v_account;
    IF NOT FOUND THEN
        RETURN qts_apply_behind(p_run, p_first, p_epoch, p_bodies, p_inboxes, p_forms, p_account);
    END IF;
    IF v_count = 1 THEN
        v_body := p_bodies[1];
    ELSE
        v_body := qts_merged(p_bodies);
    END IF;
    IF v_loading < p_first THEN
        PERFORM qts_put(p_run, v_account, v_body);
    ELSE
        PERFORM qts_put(p_run, v_account, qts_missing(p_run, v_body));
    END IF;
    IF v_count = 1 AND v_loading < p_first THEN
        INSERT INTO batches (run_id, id, inbox) VALUES (p_run, p_first, p_inboxes[1]);
    ELSE
        INSERT INTO batches (run_id, id, inbox)
        SELECT p_run, p_first + place - 1, inbox FROM unnest(p_inboxes) WITH ORDINALITY AS i (inbox, place)
        ON CONFLICT (run_id, id) DO NOTHING;
    END IF;
    IF p_forms IS NOT NULL THEN
        PERFORM qts_put_forms(p_run, p_forms);
    END IF;
    RETURN v_last;
END
$$;

-- Do what qts_apply does where the first batch is not the one that comes next, or may not be written: leave what is
-- applied, and refuse the rest.
CREATE FUNCTION qts_apply_behind(
    p_run text, p_first bigint, p_epoch bigint, p_bodies jsonb[], p_inboxes text[], p_forms jsonb, p_account text
) RETURNS bigint LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    v_progress run_progress := qts_progress(p_run, p_epoch);
    v_done integer := v_progress.applied + 1 - p_first;
BEGIN
    IF p_account <> v_progress.account THEN
        RAISE EXCEPTION 'run % is of account % here, not of account %', p_run, v_progress.account, p_account
            USING ERRCODE = 'QTACC';
    END IF;
    IF v_progress.run_id IS NULL OR v_done < 0 THEN
        RAISE EXCEPTION 'a gap' USING ERRCODE = 'QTGAP', DETAIL = (coalesce(v_progress.applied, 0) + 1)::text;
    END IF;
    IF v_done >= cardinality(p_bodies) THEN
        RETURN v_progress.applied;
    END IF;
    RETURN qts_apply(
        p_run, p_first + v_done, p_epoch, p_bodies[v_done + 1:], p_inboxes[v_done + 1:], p_forms, p_account
    );
END
$$;

-- Write a part of a copy of a run that reaches up to batch p_seq; with p_last all of it is there, and counts as
-- applied. A copy that does not reach further than what is applied changes nothing. Returns the newest applied.
CREATE FUNCTION qts_load(
    p_run text, p_epoch bigint, p_seq bigint, p_body jsonb, p_last boolean, p_forms jsonb DEFAULT NULL
) RETURNS bigint LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    v_progress run_progress := qts_progress(p_run, p_epoch);
BEGIN
    IF v_progress.run_id IS NULL THEN
        RAISE EXCEPTION 'a gap' USING ERRCODE = 'QTGAP', DETAIL = '1';
    END IF;
    IF p_seq <= v_progress.applied THEN
        RETURN v_progress.applied;
    END IF;
    PERFORM qts_put(p_run, v_progress.account, qts_missing(p_run, p_body));
    IF p_forms IS NOT NULL THEN
        PERFORM qts_put_forms(p_run, p_forms);
    END IF;
    UPDATE run_progress
    SET loading = greatest(loading, p_seq), applied = CASE WHEN p_last THEN p_seq ELSE applied END,
        changed_at = now()
    WHERE run_id = p_run
    RETURNING applied INTO v_progress.applied;
    RETURN v_progress.applied;
END
$$;

-- Name the rows of bodies that are refused, and why; at most 3. What it writes is to be rolled back.
CREATE FUNCTION qts_refused(p_run text, p_account text, p_bodies jsonb[], p_again boolean)
RETURNS TABLE (of_table text, row_of_table text, reason text) LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    v_row jsonb;
    v_body jsonb;
    v_found integer := 0;
BEGIN
    FOR of_table, v_row IN
        SELECT t.key, r FROM unnest(p_bodies) AS b, jsonb_each(b) AS t, jsonb_array_elements(t.value) AS r
    LOOP
        BEGIN
            v_body := jsonb_build_object(of_table, jsonb_build_array(v_row));
            PERFORM qts_put(p_run, p_account, CASE WHEN p_again THEN qts_missing(p_run, v_body) ELSE v_body END);
        EXCEPTION WHEN OTHERS THEN
            row_of_table := left(v_row->>0, 100);
            reason := SQLERRM;
            RETURN NEXT;
            v_found := v_found + 1;
            EXIT WHEN v_found = 3;
        END;
    END LOOP;
END
$$;
