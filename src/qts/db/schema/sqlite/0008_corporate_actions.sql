-- Splits and dividends, one row for each holding that one was applied to. Every row carries its digest, so audit_chain
-- has no row for this table. The mark of the checkpoint counts its rows behind those of batches.
CREATE TABLE corporate_actions (
    id           INTEGER PRIMARY KEY,
    timestamp    INTEGER NOT NULL,
    kind         TEXT NOT NULL CHECK (kind IN ('SPLIT', 'DIVIDEND')),
    symbol       TEXT NOT NULL,
    strategy     TEXT NOT NULL,
    pool         TEXT NOT NULL CHECK (pool IN ('SCALP', 'SWING', 'PORTFOLIO')),
    held         TEXT NOT NULL,
    change       TEXT NOT NULL,
    new_shares   TEXT NOT NULL,
    old_shares   TEXT NOT NULL,
    price        TEXT NOT NULL,
    amount       TEXT NOT NULL,
    tax          TEXT NOT NULL,
    realized_pnl TEXT NOT NULL,
    account      TEXT NOT NULL,
    ex_date      TEXT NOT NULL,
    digest       TEXT NOT NULL,
    UNIQUE (account, kind, symbol, ex_date, strategy)
);

CREATE TRIGGER corporate_actions_is_append_only BEFORE UPDATE ON corporate_actions
BEGIN
    SELECT RAISE(ABORT, 'corporate_actions is append-only');
END;
