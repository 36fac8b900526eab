-- One number of an exchange can come back on another order or another day: what makes a fill is the account, the broker,
-- the market's own date, the order and the execution id together. Rows of before do not say account and date ('').
CREATE TABLE t_ledger_by_identity (
    id           INTEGER PRIMARY KEY,
    timestamp    INTEGER NOT NULL,
    symbol       TEXT NOT NULL,
    side         TEXT NOT NULL CHECK (side IN ('BUY', 'SELL')),
    qty          TEXT NOT NULL,
    price        TEXT NOT NULL,
    amount       TEXT NOT NULL,
    fee          TEXT NOT NULL,
    tax          TEXT NOT NULL,
    realized_pnl TEXT NOT NULL,
    strategy_tag TEXT NOT NULL,
    pool         TEXT NOT NULL CHECK (pool IN ('SCALP', 'SWING', 'PORTFOLIO')),
    order_id     TEXT NOT NULL,
    execution_id TEXT NOT NULL,
    broker       TEXT NOT NULL,
    account      TEXT NOT NULL,
    trade_date   TEXT NOT NULL,
    UNIQUE (account, broker, trade_date, order_id, execution_id)
);

INSERT INTO t_ledger_by_identity
SELECT id, timestamp, symbol, side, qty, price, amount, fee, tax, realized_pnl, strategy_tag, pool, order_id,
       execution_id, broker, '', ''
FROM t_ledger;

DROP TABLE t_ledger;

ALTER TABLE t_ledger_by_identity RENAME TO t_ledger;

CREATE TRIGGER t_ledger_is_append_only BEFORE UPDATE ON t_ledger
BEGIN
    SELECT RAISE(ABORT, 't_ledger is append-only');
END;

-- Notices of fills that were not booked, as they came. The mark of the checkpoint counts its rows behind those of
-- equity_curve.
CREATE TABLE quarantine (
    id        INTEGER PRIMARY KEY,
    timestamp INTEGER NOT NULL,
    code      TEXT NOT NULL,
    reason    TEXT NOT NULL,
    notice    TEXT NOT NULL
);

CREATE TRIGGER quarantine_is_append_only BEFORE UPDATE ON quarantine
BEGIN
    SELECT RAISE(ABORT, 'quarantine is append-only');
END;
