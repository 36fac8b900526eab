-- What the book stood at when a day was closed: a row for each close, and one for each holding that had changed since
-- the close before. Numbers of rows (fills, actions, transfers, bookings) are the last ones that are part of the close;
-- orders and causes those of decisions and safety_history. A later fact of a closed day is booked today; these rows stay.
-- Every row carries its digest, so audit_chain has no row for these tables. The mark of the checkpoint counts their rows
-- behind those of bookings.
CREATE TABLE day_closes (
    id                 INTEGER PRIMARY KEY,
    account            TEXT NOT NULL,
    day                TEXT NOT NULL,
    timestamp          INTEGER NOT NULL,
    fills              INTEGER NOT NULL,
    actions            INTEGER NOT NULL,
    transfers          INTEGER NOT NULL,
    bookings           INTEGER NOT NULL,
    orders             INTEGER NOT NULL,
    causes             INTEGER NOT NULL,
    newest_trade_date  TEXT NOT NULL,
    equity             TEXT NOT NULL,
    scalp_cash         TEXT NOT NULL,
    scalp_realized     TEXT NOT NULL,
    scalp_at           INTEGER NOT NULL,
    swing_cash         TEXT NOT NULL,
    swing_realized     TEXT NOT NULL,
    swing_at           INTEGER NOT NULL,
    portfolio_cash     TEXT NOT NULL,
    portfolio_realized TEXT NOT NULL,
    portfolio_at       INTEGER NOT NULL,
    fees               TEXT NOT NULL,
    taxes              TEXT NOT NULL,
    dividends          TEXT NOT NULL,
    dividend_taxes     TEXT NOT NULL,
    fractions          TEXT NOT NULL,
    deposits           TEXT NOT NULL,
    withdrawals        TEXT NOT NULL,
    adjustments        TEXT NOT NULL,
    contributions      TEXT NOT NULL,
    contributed_value  TEXT NOT NULL,
    external_cash      TEXT NOT NULL,
    external_realized  TEXT NOT NULL,
    digest             TEXT NOT NULL,
    UNIQUE (account, day)
);

CREATE TRIGGER day_closes_is_append_only BEFORE UPDATE ON day_closes
BEGIN
    SELECT RAISE(ABORT, 'day_closes is append-only');
END;

CREATE TABLE holding_closes (
    id           INTEGER PRIMARY KEY,
    account      TEXT NOT NULL,
    day          TEXT NOT NULL,
    owner        TEXT NOT NULL CHECK (owner IN ('SCALP', 'SWING', 'PORTFOLIO', 'EXTERNAL')),
    strategy     TEXT NOT NULL,
    symbol       TEXT NOT NULL,
    qty          TEXT NOT NULL,
    cost         TEXT NOT NULL,
    basis        TEXT NOT NULL,
    realized     TEXT NOT NULL,
    timestamp    INTEGER NOT NULL,
    broker       TEXT NOT NULL,
    execution_id TEXT NOT NULL,
    order_id     TEXT NOT NULL,
    digest       TEXT NOT NULL,
    UNIQUE (account, strategy, symbol, day)
);

CREATE TRIGGER holding_closes_is_append_only BEFORE UPDATE ON holding_closes
BEGIN
    SELECT RAISE(ABORT, 'holding_closes is append-only');
END;
