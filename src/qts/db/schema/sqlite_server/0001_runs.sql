-- Copies of many local books in one file: tables and columns have the names that they have there, the run and, where a
-- row has one, the account before all others. What the copy of a run has to be is judged in its own book; here a row
-- only has to be one that can be read.

CREATE TABLE runs (
    run_id      TEXT NOT NULL PRIMARY KEY,
    command     TEXT NOT NULL,
    seed        INTEGER NOT NULL,
    source_id   TEXT NOT NULL,
    config_hash TEXT NOT NULL,
    started_at  TEXT NOT NULL,
    finished    INTEGER NOT NULL CHECK (finished IN (0, 1)),
    result      TEXT NOT NULL,
    account     TEXT NOT NULL
) WITHOUT ROWID;

CREATE INDEX runs_by_account ON runs (account, run_id);

-- applied: the newest batch. loading: the batch up to which a copy is being loaded; until it is applied, rows may be
-- newer than applied says, and some may be missing; 0 otherwise.
CREATE TABLE progress (
    run_id  TEXT NOT NULL PRIMARY KEY,
    applied INTEGER NOT NULL CHECK (applied >= 0),
    loading INTEGER NOT NULL CHECK (loading >= 0)
) WITHOUT ROWID;

-- The writer that may write a run: its newest epoch. Epochs are numbered over the whole file.
CREATE TABLE writers (
    run_id        TEXT NOT NULL PRIMARY KEY,
    account       TEXT NOT NULL,
    whole_account INTEGER NOT NULL CHECK (whole_account IN (0, 1)),
    epoch         INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE configurations (
    run_id      TEXT NOT NULL,
    version     INTEGER NOT NULL,
    config_hash TEXT NOT NULL,
    timestamp   INTEGER NOT NULL,
    actor       TEXT NOT NULL,
    reason      TEXT NOT NULL,
    settings    TEXT NOT NULL,
    PRIMARY KEY (run_id, version)
);

CREATE TABLE strategy_files (
    run_id     TEXT NOT NULL,
    strategy   INTEGER NOT NULL,
    name       BLOB NOT NULL,
    class_name TEXT NOT NULL,
    digest     TEXT NOT NULL,
    PRIMARY KEY (run_id, strategy, name)
) WITHOUT ROWID;

CREATE TABLE batches (
    run_id TEXT NOT NULL,
    id     INTEGER NOT NULL,
    inbox  TEXT NOT NULL,
    PRIMARY KEY (run_id, id)
) WITHOUT ROWID;

CREATE TABLE t_ledger (
    run_id       TEXT NOT NULL,
    id           INTEGER NOT NULL,
    timestamp    INTEGER NOT NULL,
    symbol       TEXT NOT NULL,
    side         TEXT NOT NULL,
    qty          TEXT NOT NULL,
    price        TEXT NOT NULL,
    amount       TEXT NOT NULL,
    fee          TEXT NOT NULL,
    tax          TEXT NOT NULL,
    realized_pnl TEXT NOT NULL,
    strategy_tag TEXT NOT NULL,
    pool         TEXT NOT NULL,
    order_id     TEXT NOT NULL,
    execution_id TEXT NOT NULL,
    broker       TEXT NOT NULL,
    account      TEXT NOT NULL,
    trade_date   TEXT NOT NULL,
    digest       TEXT,
    PRIMARY KEY (run_id, id)
) WITHOUT ROWID;

-- What makes a fill is the account, the broker, the market's own date, the order and the execution id together. The
-- ids of a simulated broker begin again with each run.
CREATE UNIQUE INDEX t_ledger_fills ON t_ledger (
    account, broker, trade_date, order_id, execution_id, CASE WHEN broker = 'sim' THEN run_id ELSE '' END
);

CREATE TABLE corporate_actions (
    run_id       TEXT NOT NULL,
    id           INTEGER NOT NULL,
    timestamp    INTEGER NOT NULL,
    kind         TEXT NOT NULL,
    symbol       TEXT NOT NULL,
    strategy     TEXT NOT NULL,
    pool         TEXT NOT NULL,
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
    PRIMARY KEY (run_id, id),
    UNIQUE (account, run_id, kind, symbol, ex_date, strategy)
) WITHOUT ROWID;

CREATE TABLE bookings (
    run_id       TEXT NOT NULL,
    id           INTEGER NOT NULL,
    timestamp    INTEGER NOT NULL,
    kind         TEXT NOT NULL,
    owner        TEXT NOT NULL,
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
    PRIMARY KEY (run_id, id),
    UNIQUE (account, run_id, kind, owner, symbol, broker, day, order_id, reference)
) WITHOUT ROWID;

CREATE TABLE day_closes (
    run_id             TEXT NOT NULL,
    id                 INTEGER NOT NULL,
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
    PRIMARY KEY (run_id, id),
    UNIQUE (account, run_id, day)
) WITHOUT ROWID;

CREATE TABLE holding_closes (
    run_id       TEXT NOT NULL,
    id           INTEGER NOT NULL,
    account      TEXT NOT NULL,
    day          TEXT NOT NULL,
    owner        TEXT NOT NULL,
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
    PRIMARY KEY (run_id, id),
    UNIQUE (account, run_id, strategy, symbol, day)
) WITHOUT ROWID;

CREATE TABLE capital_transfers (
    run_id      TEXT NOT NULL,
    id          INTEGER NOT NULL,
    account     TEXT NOT NULL,
    transfer_id TEXT NOT NULL,
    leg         INTEGER NOT NULL CHECK (leg IN (1, 2)),
    other_leg   INTEGER NOT NULL CHECK (other_leg = 3 - leg),
    timestamp   INTEGER NOT NULL,
    pool        TEXT NOT NULL,
    amount      TEXT NOT NULL,
    rule        TEXT NOT NULL,
    reason      TEXT NOT NULL,
    digest      TEXT,
    PRIMARY KEY (run_id, id),
    UNIQUE (account, run_id, transfer_id, leg)
) WITHOUT ROWID;

CREATE TABLE capital_pools (
    run_id       TEXT NOT NULL,
    pool         TEXT NOT NULL,
    account      TEXT NOT NULL,
    cash         TEXT NOT NULL,
    realized_pnl TEXT NOT NULL,
    updated_at   INTEGER NOT NULL,
    PRIMARY KEY (run_id, pool)
) WITHOUT ROWID;

CREATE TABLE positions (
    run_id     TEXT NOT NULL,
    strategy   TEXT NOT NULL,
    symbol     TEXT NOT NULL,
    account    TEXT NOT NULL,
    pool       TEXT NOT NULL,
    qty        TEXT NOT NULL,
    cost       TEXT NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (run_id, strategy, symbol)
) WITHOUT ROWID;

-- Decisions are a table with a rowid: their inputs are long, and rows of more than a quarter of a page take a page of
-- their own in a table without one.
CREATE TABLE decisions (
    run_id          TEXT NOT NULL,
    id              INTEGER NOT NULL,
    approval_id     TEXT NOT NULL,
    decision_id     TEXT NOT NULL,
    client_order_id TEXT NOT NULL,
    timestamp       INTEGER NOT NULL,
    expires_at      INTEGER NOT NULL,
    config_hash     TEXT NOT NULL,
    inputs          TEXT NOT NULL,
    digest          TEXT,
    PRIMARY KEY (run_id, id),
    UNIQUE (run_id, approval_id)
);

CREATE TABLE orders (
    run_id          TEXT NOT NULL,
    client_order_id TEXT NOT NULL,
    decision_id     TEXT NOT NULL,
    approval_id     TEXT NOT NULL,
    strategy        TEXT NOT NULL,
    pool            TEXT NOT NULL,
    symbol          TEXT NOT NULL,
    side            TEXT NOT NULL,
    qty             TEXT NOT NULL,
    price           TEXT,
    decision_price  TEXT NOT NULL,
    state           TEXT NOT NULL,
    filled          TEXT NOT NULL,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    venue_refs      TEXT NOT NULL,
    reduce_only     INTEGER NOT NULL CHECK (reduce_only IN (0, 1)),
    forced          INTEGER NOT NULL CHECK (forced IN (0, 1)),
    reason          TEXT NOT NULL,
    note            TEXT NOT NULL,
    type            TEXT NOT NULL,
    time_in_force   TEXT NOT NULL,
    venue           TEXT NOT NULL,
    parent_id       TEXT NOT NULL,
    expires_at      INTEGER,
    stop_price      TEXT,
    tag             TEXT NOT NULL,
    PRIMARY KEY (run_id, client_order_id)
) WITHOUT ROWID;

CREATE TABLE refusals (
    run_id      TEXT NOT NULL,
    id          INTEGER NOT NULL,
    decision_id TEXT NOT NULL,
    timestamp   INTEGER NOT NULL,
    strategy    TEXT NOT NULL,
    symbol      TEXT NOT NULL,
    side        TEXT NOT NULL,
    reason      TEXT NOT NULL,
    detail      TEXT NOT NULL,
    PRIMARY KEY (run_id, id)
) WITHOUT ROWID;

CREATE TABLE state_history (
    run_id     TEXT NOT NULL,
    id         INTEGER NOT NULL,
    seq        INTEGER NOT NULL,
    timestamp  INTEGER NOT NULL,
    from_state TEXT NOT NULL,
    to_state   TEXT NOT NULL,
    reason     TEXT NOT NULL,
    meta       TEXT NOT NULL,
    digest     TEXT,
    PRIMARY KEY (run_id, id),
    UNIQUE (run_id, seq)
) WITHOUT ROWID;

CREATE TABLE safety_history (
    run_id     TEXT NOT NULL,
    id         INTEGER NOT NULL,
    seq        INTEGER NOT NULL,
    timestamp  INTEGER NOT NULL,
    from_state TEXT NOT NULL,
    to_state   TEXT NOT NULL,
    code       TEXT NOT NULL,
    actor      TEXT NOT NULL,
    reason     TEXT NOT NULL,
    digest     TEXT,
    PRIMARY KEY (run_id, id),
    UNIQUE (run_id, seq)
) WITHOUT ROWID;

CREATE TABLE equity_curve (
    run_id    TEXT NOT NULL,
    id        INTEGER NOT NULL,
    timestamp INTEGER NOT NULL,
    equity    TEXT NOT NULL,
    cash      TEXT NOT NULL,
    scalp     TEXT NOT NULL,
    swing     TEXT NOT NULL,
    portfolio TEXT NOT NULL,
    state     TEXT NOT NULL,
    safety    TEXT NOT NULL,
    PRIMARY KEY (run_id, id)
) WITHOUT ROWID;

CREATE TABLE quarantine (
    run_id    TEXT NOT NULL,
    id        INTEGER NOT NULL,
    timestamp INTEGER NOT NULL,
    code      TEXT NOT NULL,
    reason    TEXT NOT NULL,
    notice    TEXT NOT NULL,
    PRIMARY KEY (run_id, id)
);

CREATE TABLE bars (
    run_id    TEXT NOT NULL,
    id        INTEGER NOT NULL,
    symbol    TEXT NOT NULL,
    interval  TEXT NOT NULL,
    timestamp INTEGER NOT NULL,
    begun     INTEGER NOT NULL,
    open      TEXT NOT NULL,
    high      TEXT NOT NULL,
    low       TEXT NOT NULL,
    close     TEXT NOT NULL,
    volume    TEXT NOT NULL,
    value     TEXT,
    trades    INTEGER,
    partial   INTEGER NOT NULL CHECK (partial IN (0, 1)),
    day       TEXT NOT NULL,
    PRIMARY KEY (run_id, id)
) WITHOUT ROWID;

-- Market values as JSON, in the order in which they came: seq rises within a symbol over all recordings.
CREATE TABLE market_values (
    symbol TEXT NOT NULL,
    time   INTEGER NOT NULL,
    seq    INTEGER NOT NULL,
    value  BLOB NOT NULL,
    PRIMARY KEY (symbol, time, seq)
) WITHOUT ROWID;
