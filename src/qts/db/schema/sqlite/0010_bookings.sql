-- Facts beside fills, splits, dividends and transfers: what EXTERNAL had at the opening, executions of orders that are
-- not ours, deposits and withdrawals, true-ups of fees and taxes, adjustments, and executions that were taken back. Every
-- row carries its digest, so audit_chain has no row for this table. The mark of the checkpoint counts its rows behind
-- those of bars.
CREATE TABLE bookings (
    id           INTEGER PRIMARY KEY,
    timestamp    INTEGER NOT NULL,
    kind         TEXT NOT NULL CHECK (kind IN (
        'OPENING', 'EXTERNAL_FILL', 'DEPOSIT', 'WITHDRAWAL', 'FEE', 'TAX', 'ADJUSTMENT', 'REVERSAL'
    )),
    owner        TEXT NOT NULL CHECK (owner IN ('SCALP', 'SWING', 'PORTFOLIO', 'EXTERNAL')),
    strategy     TEXT NOT NULL,
    symbol       TEXT NOT NULL,
    qty          TEXT NOT NULL,
    price        TEXT NOT NULL,
    amount       TEXT NOT NULL,
    fee          TEXT NOT NULL,
    tax          TEXT NOT NULL,
    cost         TEXT NOT NULL,
    realized_pnl TEXT NOT NULL,
    broker       TEXT NOT NULL,
    order_id     TEXT NOT NULL,
    reference    TEXT NOT NULL,
    day          TEXT NOT NULL,
    actor        TEXT NOT NULL,
    reason       TEXT NOT NULL,
    account      TEXT NOT NULL,
    digest       TEXT NOT NULL,
    UNIQUE (account, kind, owner, symbol, broker, day, order_id, reference)
);

CREATE TRIGGER bookings_is_append_only BEFORE UPDATE ON bookings
BEGIN
    SELECT RAISE(ABORT, 'bookings is append-only');
END;
