-- For people: fills, orders and samples of the account with their times as such; the columns of the tables count ns.

-- Return the moment so many nanoseconds after 1970 UTC, to the microsecond before it.
CREATE FUNCTION qts_time(p_ns bigint) RETURNS timestamptz
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT timestamptz '1970-01-01 00:00:00Z' + (p_ns / 1000) * interval '1 microsecond'
$$;

CREATE VIEW fills AS
SELECT qts_time(timestamp) AS at, account, run_id, id, broker, symbol, side, qty, price, amount, fee, tax,
    realized_pnl, pool, strategy_tag AS strategy, order_id, execution_id, trade_date
FROM t_ledger;

CREATE VIEW order_states AS
SELECT qts_time(o.created_at) AS created, qts_time(o.updated_at) AS updated, r.account, o.run_id, o.client_order_id,
    o.symbol, o.side, o.type, o.qty, o.price, o.stop_price, o.filled, o.state, o.pool, o.strategy, o.venue,
    o.reason, o.note
FROM orders AS o JOIN runs AS r USING (run_id);

CREATE VIEW account_values AS
SELECT qts_time(c.timestamp) AS at, r.account, c.run_id, c.id, c.equity, c.cash, c.scalp, c.swing, c.portfolio,
    c.state, c.safety
FROM equity_curve AS c JOIN runs AS r USING (run_id);
