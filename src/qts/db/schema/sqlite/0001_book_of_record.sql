-- The book of record of one run.
-- Decimals are TEXT (exact), times are INTEGER nanoseconds since 1970 UTC.
-- Append-only tables number their rows from 1 without gaps: a checkpoint remembers the last number of each.
-- Rows that change carry how they stood at the newest checkpoint: generation is the checkpoint's when the row was
-- changed since, and before is then its former content as a JSON array, NULL when there was no row.

CREATE TABLE runs (
    run_id      TEXT PRIMARY KEY,
    command     TEXT NOT NULL,
    seed        INTEGER NOT NULL,
    source_id   TEXT NOT NULL,
    config_hash TEXT NOT NULL,
    started_at  TEXT NOT NULL,
    finished    INTEGER NOT NULL CHECK (finished IN (0, 1)),
    result      TEXT NOT NULL
);

CREATE TABLE t_ledger (
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
    UNIQUE (broker, execution_id)
);

CREATE TRIGGER t_ledger_is_append_only BEFORE UPDATE ON t_ledger
BEGIN
    SELECT RAISE(ABORT, 't_ledger is append-only');
END;

-- Signed quantity: no constraint may refuse a true fill.
CREATE TABLE positions (
    strategy   TEXT NOT NULL,
    pool       TEXT NOT NULL CHECK (pool IN ('SCALP', 'SWING', 'PORTFOLIO')),
    symbol     TEXT NOT NULL,
    qty        TEXT NOT NULL,
    cost       TEXT NOT NULL,
    updated_at INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    before     TEXT,
    PRIMARY KEY (strategy, symbol)
) WITHOUT ROWID;

CREATE TABLE capital_pools (
    pool         TEXT PRIMARY KEY CHECK (pool IN ('SCALP', 'SWING', 'PORTFOLIO')),
    cash         TEXT NOT NULL,
    realized_pnl TEXT NOT NULL,
    updated_at   INTEGER NOT NULL,
    generation   INTEGER NOT NULL,
    before       TEXT
) WITHOUT ROWID;

-- Double entry: leg 1 leaves the source (amount with a minus), leg 2 reaches the target. The two name each other,
-- so that neither is left alone at the end of a transaction; texts are compared, so that no float comes near.
CREATE TABLE capital_transfers (
    id          INTEGER PRIMARY KEY,
    transfer_id TEXT NOT NULL,
    leg         INTEGER NOT NULL CHECK (leg IN (1, 2)),
    other_leg   INTEGER NOT NULL CHECK (other_leg = 3 - leg),
    timestamp   INTEGER NOT NULL,
    pool        TEXT NOT NULL CHECK (pool IN ('SCALP', 'SWING', 'PORTFOLIO')),
    amount      TEXT NOT NULL CHECK (
        amount GLOB '*[1-9]*' AND ((leg = 1 AND amount GLOB '-[0-9]*') OR (leg = 2 AND amount GLOB '[0-9]*'))
    ),
    rule        TEXT NOT NULL,
    reason      TEXT NOT NULL,
    UNIQUE (transfer_id, leg),
    FOREIGN KEY (transfer_id, other_leg) REFERENCES capital_transfers (transfer_id, leg)
        DEFERRABLE INITIALLY DEFERRED
);

CREATE TRIGGER capital_transfers_sum_to_zero AFTER INSERT ON capital_transfers
WHEN EXISTS (SELECT 1 FROM capital_transfers o WHERE o.transfer_id = NEW.transfer_id AND o.leg = NEW.other_leg)
BEGIN
    SELECT RAISE(ABORT, 'the two legs of a transfer must sum to zero and belong to different pools')
    FROM capital_transfers source JOIN capital_transfers target USING (transfer_id)
    WHERE source.transfer_id = NEW.transfer_id AND source.leg = 1 AND target.leg = 2
      AND (source.amount <> '-' || target.amount OR source.pool = target.pool);
END;

-- The store writes pools before transfers; an overdrawing fill is booked, an overdrawing transfer is not.
CREATE TRIGGER capital_transfers_never_overdraw AFTER INSERT ON capital_transfers
WHEN NEW.leg = 1
BEGIN
    SELECT RAISE(ABORT, 'a transfer may not leave its source below zero')
    FROM capital_pools p WHERE p.pool = NEW.pool AND p.cash GLOB '-*[1-9]*';
END;

CREATE TRIGGER capital_transfers_is_append_only BEFORE UPDATE ON capital_transfers
BEGIN
    SELECT RAISE(ABORT, 'capital_transfers is append-only');
END;

-- An approval lets one order leave, once.
CREATE TABLE decisions (
    id              INTEGER PRIMARY KEY,
    approval_id     TEXT NOT NULL UNIQUE,
    decision_id     TEXT NOT NULL,
    client_order_id TEXT NOT NULL,
    timestamp       INTEGER NOT NULL,
    expires_at      INTEGER NOT NULL,
    config_hash     TEXT NOT NULL,
    inputs          TEXT NOT NULL
);

CREATE TRIGGER decisions_is_append_only BEFORE UPDATE ON decisions
BEGIN
    SELECT RAISE(ABORT, 'decisions is append-only');
END;

-- No order without the approval that names it; the intent is written before the order is sent.
CREATE TABLE orders (
    client_order_id TEXT PRIMARY KEY,
    decision_id     TEXT NOT NULL,
    approval_id     TEXT NOT NULL,
    strategy        TEXT NOT NULL,
    pool            TEXT NOT NULL CHECK (pool IN ('SCALP', 'SWING', 'PORTFOLIO')),
    symbol          TEXT NOT NULL,
    side            TEXT NOT NULL CHECK (side IN ('BUY', 'SELL')),
    qty             TEXT NOT NULL,
    price           TEXT,
    decision_price  TEXT NOT NULL,
    state           TEXT NOT NULL,
    filled          TEXT NOT NULL,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    broker_order_id TEXT NOT NULL,
    reduce_only     INTEGER NOT NULL CHECK (reduce_only IN (0, 1)),
    forced          INTEGER NOT NULL CHECK (forced IN (0, 1)),
    reason          TEXT NOT NULL,
    note            TEXT NOT NULL,
    generation      INTEGER NOT NULL,
    before          TEXT,
    FOREIGN KEY (approval_id) REFERENCES decisions (approval_id) DEFERRABLE INITIALLY DEFERRED
) WITHOUT ROWID;

CREATE TRIGGER orders_match_their_approval BEFORE INSERT ON orders
WHEN NOT EXISTS (
    SELECT 1 FROM decisions d WHERE d.approval_id = NEW.approval_id AND d.client_order_id = NEW.client_order_id
)
BEGIN
    SELECT RAISE(ABORT, 'an order needs the approval that names it');
END;

CREATE TABLE refusals (
    id          INTEGER PRIMARY KEY,
    decision_id TEXT NOT NULL,
    timestamp   INTEGER NOT NULL,
    strategy    TEXT NOT NULL,
    symbol      TEXT NOT NULL,
    side        TEXT NOT NULL CHECK (side IN ('BUY', 'SELL')),
    reason      TEXT NOT NULL,
    detail      TEXT NOT NULL
);

CREATE TABLE state_history (
    id         INTEGER PRIMARY KEY,
    seq        INTEGER NOT NULL UNIQUE,
    timestamp  INTEGER NOT NULL,
    from_state TEXT NOT NULL,
    to_state   TEXT NOT NULL,
    reason     TEXT NOT NULL,
    meta       TEXT NOT NULL
);

CREATE TABLE safety_history (
    id         INTEGER PRIMARY KEY,
    seq        INTEGER NOT NULL UNIQUE,
    timestamp  INTEGER NOT NULL,
    from_state TEXT NOT NULL,
    to_state   TEXT NOT NULL,
    code       TEXT NOT NULL,
    actor      TEXT NOT NULL,
    reason     TEXT NOT NULL
);

CREATE TABLE equity_curve (
    id        INTEGER PRIMARY KEY,
    timestamp INTEGER NOT NULL,
    equity    TEXT NOT NULL,
    cash      TEXT NOT NULL,
    scalp     TEXT NOT NULL,
    swing     TEXT NOT NULL,
    portfolio TEXT NOT NULL,
    state     TEXT NOT NULL,
    safety    TEXT NOT NULL
);

-- The newest checkpoint. marks is one text of fixed width (the row is then overwritten in place): the generation, the
-- length of the checkpoint inside data (padded with zeros), and the last row number of each append-only table in the
-- order t_ledger, capital_transfers, decisions, refusals, state_history, safety_history, equity_curve.
CREATE TABLE checkpoint (
    id    INTEGER PRIMARY KEY CHECK (id = 1),
    marks TEXT NOT NULL,
    data  BLOB NOT NULL
);
