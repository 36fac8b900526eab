-- Every key begins with the account or the run, so that two of them never meet, whatever file their rows are in: what an
-- account has in the book of a run by both, all else by the run. Rows of one run are numbered in id, as before. The
-- columns of a primary key stand first: some versions of SQLite call a table damaged that has them elsewhere.

ALTER TABLE runs ADD COLUMN account TEXT NOT NULL DEFAULT 'main';

CREATE TEMP TABLE t_ledger_of_before AS SELECT * FROM t_ledger;

DROP TABLE t_ledger;

CREATE TABLE t_ledger (
    run_id       TEXT NOT NULL,
    id           INTEGER NOT NULL,
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
    digest       TEXT,
    PRIMARY KEY (run_id, id),
    UNIQUE (account, run_id, broker, trade_date, order_id, execution_id)
) WITHOUT ROWID;

INSERT INTO t_ledger SELECT coalesce((SELECT run_id FROM runs), ''), * FROM t_ledger_of_before;

DROP TABLE t_ledger_of_before;

CREATE TRIGGER t_ledger_is_append_only BEFORE UPDATE ON t_ledger
BEGIN
    SELECT RAISE(ABORT, 't_ledger is append-only');
END;

CREATE TEMP TABLE corporate_actions_of_before AS SELECT * FROM corporate_actions;

DROP TABLE corporate_actions;

CREATE TABLE corporate_actions (
    run_id       TEXT NOT NULL,
    id           INTEGER NOT NULL,
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
    PRIMARY KEY (run_id, id),
    UNIQUE (account, run_id, kind, symbol, ex_date, strategy)
) WITHOUT ROWID;

INSERT INTO corporate_actions SELECT coalesce((SELECT run_id FROM runs), ''), * FROM corporate_actions_of_before;

DROP TABLE corporate_actions_of_before;

CREATE TRIGGER corporate_actions_is_append_only BEFORE UPDATE ON corporate_actions
BEGIN
    SELECT RAISE(ABORT, 'corporate_actions is append-only');
END;

CREATE TEMP TABLE bookings_of_before AS SELECT * FROM bookings;

DROP TABLE bookings;

CREATE TABLE bookings (
    run_id       TEXT NOT NULL,
    id           INTEGER NOT NULL,
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
    PRIMARY KEY (run_id, id),
    UNIQUE (account, run_id, kind, owner, symbol, broker, day, order_id, reference)
) WITHOUT ROWID;

INSERT INTO bookings SELECT coalesce((SELECT run_id FROM runs), ''), * FROM bookings_of_before;

DROP TABLE bookings_of_before;

CREATE TRIGGER bookings_is_append_only BEFORE UPDATE ON bookings
BEGIN
    SELECT RAISE(ABORT, 'bookings is append-only');
END;

CREATE TEMP TABLE day_closes_of_before AS SELECT * FROM day_closes;

DROP TABLE day_closes;

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

INSERT INTO day_closes SELECT coalesce((SELECT run_id FROM runs), ''), * FROM day_closes_of_before;

DROP TABLE day_closes_of_before;

CREATE TRIGGER day_closes_is_append_only BEFORE UPDATE ON day_closes
BEGIN
    SELECT RAISE(ABORT, 'day_closes is append-only');
END;

CREATE TEMP TABLE holding_closes_of_before AS SELECT * FROM holding_closes;

DROP TABLE holding_closes;

CREATE TABLE holding_closes (
    run_id       TEXT NOT NULL,
    id           INTEGER NOT NULL,
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
    PRIMARY KEY (run_id, id),
    UNIQUE (account, run_id, strategy, symbol, day)
) WITHOUT ROWID;

INSERT INTO holding_closes SELECT coalesce((SELECT run_id FROM runs), ''), * FROM holding_closes_of_before;

DROP TABLE holding_closes_of_before;

CREATE TRIGGER holding_closes_is_append_only BEFORE UPDATE ON holding_closes
BEGIN
    SELECT RAISE(ABORT, 'holding_closes is append-only');
END;

-- The trigger of the transfers names the pools, so the transfers go before them.
CREATE TEMP TABLE transfers_of_before AS SELECT * FROM capital_transfers;

DROP TABLE capital_transfers;

CREATE TABLE capital_transfers (
    run_id      TEXT NOT NULL,
    id          INTEGER NOT NULL,
    account     TEXT NOT NULL,
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
    digest      TEXT,
    PRIMARY KEY (run_id, id),
    UNIQUE (account, run_id, transfer_id, leg),
    FOREIGN KEY (account, run_id, transfer_id, other_leg)
        REFERENCES capital_transfers (account, run_id, transfer_id, leg) DEFERRABLE INITIALLY DEFERRED
) WITHOUT ROWID;

INSERT INTO capital_transfers
SELECT coalesce((SELECT run_id FROM runs), ''), id, 'main', transfer_id, leg, other_leg, timestamp, pool, amount, rule,
       reason, digest
FROM transfers_of_before;

DROP TABLE transfers_of_before;

CREATE TEMP TABLE capital_pools_of_before AS SELECT * FROM capital_pools;

DROP TABLE capital_pools;

CREATE TABLE capital_pools (
    account      TEXT NOT NULL,
    run_id       TEXT NOT NULL,
    pool         TEXT NOT NULL CHECK (pool IN ('SCALP', 'SWING', 'PORTFOLIO')),
    cash         TEXT NOT NULL,
    realized_pnl TEXT NOT NULL,
    updated_at   INTEGER NOT NULL,
    generation   INTEGER NOT NULL,
    before       TEXT,
    PRIMARY KEY (account, run_id, pool)
) WITHOUT ROWID;

INSERT INTO capital_pools SELECT 'main', coalesce((SELECT run_id FROM runs), ''), * FROM capital_pools_of_before;

DROP TABLE capital_pools_of_before;

CREATE TRIGGER capital_transfers_sum_to_zero AFTER INSERT ON capital_transfers
WHEN EXISTS (
    SELECT 1 FROM capital_transfers o
    WHERE o.account = NEW.account AND o.run_id = NEW.run_id AND o.transfer_id = NEW.transfer_id
      AND o.leg = NEW.other_leg
)
BEGIN
    SELECT RAISE(ABORT, 'the two legs of a transfer must sum to zero and belong to different pools')
    FROM capital_transfers source JOIN capital_transfers target USING (account, run_id, transfer_id)
    WHERE source.account = NEW.account AND source.run_id = NEW.run_id AND source.transfer_id = NEW.transfer_id
      AND source.leg = 1 AND target.leg = 2
      AND (source.amount <> '-' || target.amount OR source.pool = target.pool);
END;

-- The store writes pools before transfers; an overdrawing fill is booked, an overdrawing transfer is not.
CREATE TRIGGER capital_transfers_never_overdraw AFTER INSERT ON capital_transfers
WHEN NEW.leg = 1
BEGIN
    SELECT RAISE(ABORT, 'a transfer may not leave its source below zero')
    FROM capital_pools p
    WHERE p.account = NEW.account AND p.run_id = NEW.run_id AND p.pool = NEW.pool AND p.cash GLOB '-*[1-9]*';
END;

CREATE TRIGGER capital_transfers_is_append_only BEFORE UPDATE ON capital_transfers
BEGIN
    SELECT RAISE(ABORT, 'capital_transfers is append-only');
END;

CREATE TEMP TABLE positions_of_before AS SELECT * FROM positions;

DROP TABLE positions;

CREATE TABLE positions (
    account    TEXT NOT NULL,
    run_id     TEXT NOT NULL,
    strategy   TEXT NOT NULL,
    symbol     TEXT NOT NULL,
    pool       TEXT NOT NULL CHECK (pool IN ('SCALP', 'SWING', 'PORTFOLIO')),
    qty        TEXT NOT NULL,
    cost       TEXT NOT NULL,
    updated_at INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    before     TEXT,
    PRIMARY KEY (account, run_id, strategy, symbol)
) WITHOUT ROWID;

INSERT INTO positions
SELECT 'main', coalesce((SELECT run_id FROM runs), ''), strategy, symbol, pool, qty, cost, updated_at,
       generation, before
FROM positions_of_before;

DROP TABLE positions_of_before;

-- Orders refer to decisions and go before them. Decisions stay a table with a rowid: their inputs are long, and rows of
-- more than a quarter of a page take a page of their own in a table without one.
CREATE TEMP TABLE orders_of_before AS SELECT * FROM orders;

CREATE TEMP TABLE decisions_of_before AS SELECT * FROM decisions;

DROP TABLE orders;

DROP TABLE decisions;

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

INSERT INTO decisions SELECT coalesce((SELECT run_id FROM runs), ''), * FROM decisions_of_before;

DROP TABLE decisions_of_before;

CREATE TABLE orders (
    run_id          TEXT NOT NULL,
    client_order_id TEXT NOT NULL,
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
    venue_refs      TEXT NOT NULL,
    reduce_only     INTEGER NOT NULL CHECK (reduce_only IN (0, 1)),
    forced          INTEGER NOT NULL CHECK (forced IN (0, 1)),
    reason          TEXT NOT NULL,
    note            TEXT NOT NULL,
    generation      INTEGER NOT NULL,
    before          TEXT,
    type            TEXT NOT NULL DEFAULT 'MARKET',
    time_in_force   TEXT NOT NULL DEFAULT 'DAY',
    venue           TEXT NOT NULL DEFAULT '',
    parent_id       TEXT NOT NULL DEFAULT '',
    expires_at      INTEGER,
    stop_price      TEXT,
    tag             TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (run_id, client_order_id),
    FOREIGN KEY (run_id, approval_id) REFERENCES decisions (run_id, approval_id) DEFERRABLE INITIALLY DEFERRED
) WITHOUT ROWID;

INSERT INTO orders SELECT coalesce((SELECT run_id FROM runs), ''), * FROM orders_of_before;

DROP TABLE orders_of_before;

CREATE TRIGGER decisions_is_append_only BEFORE UPDATE ON decisions
BEGIN
    SELECT RAISE(ABORT, 'decisions is append-only');
END;

CREATE TRIGGER orders_match_their_approval BEFORE INSERT ON orders
WHEN NOT EXISTS (
    SELECT 1 FROM decisions d
    WHERE d.run_id = NEW.run_id AND d.approval_id = NEW.approval_id AND d.client_order_id = NEW.client_order_id
)
BEGIN
    SELECT RAISE(ABORT, 'an order needs the approval that names it');
END;

CREATE TEMP TABLE refusals_of_before AS SELECT * FROM refusals;

DROP TABLE refusals;

CREATE TABLE refusals (
    run_id      TEXT NOT NULL,
    id          INTEGER NOT NULL,
    decision_id TEXT NOT NULL,
    timestamp   INTEGER NOT NULL,
    strategy    TEXT NOT NULL,
    symbol      TEXT NOT NULL,
    side        TEXT NOT NULL CHECK (side IN ('BUY', 'SELL')),
    reason      TEXT NOT NULL,
    detail      TEXT NOT NULL,
    PRIMARY KEY (run_id, id)
) WITHOUT ROWID;

INSERT INTO refusals SELECT coalesce((SELECT run_id FROM runs), ''), * FROM refusals_of_before;

DROP TABLE refusals_of_before;

CREATE TEMP TABLE state_history_of_before AS SELECT * FROM state_history;

DROP TABLE state_history;

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

INSERT INTO state_history SELECT coalesce((SELECT run_id FROM runs), ''), * FROM state_history_of_before;

DROP TABLE state_history_of_before;

CREATE TRIGGER state_history_is_append_only BEFORE UPDATE ON state_history
BEGIN
    SELECT RAISE(ABORT, 'state_history is append-only');
END;

CREATE TEMP TABLE safety_history_of_before AS SELECT * FROM safety_history;

DROP TABLE safety_history;

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

INSERT INTO safety_history SELECT coalesce((SELECT run_id FROM runs), ''), * FROM safety_history_of_before;

DROP TABLE safety_history_of_before;

CREATE TRIGGER safety_history_is_append_only BEFORE UPDATE ON safety_history
BEGIN
    SELECT RAISE(ABORT, 'safety_history is append-only');
END;

CREATE TEMP TABLE equity_curve_of_before AS SELECT * FROM equity_curve;

DROP TABLE equity_curve;

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

INSERT INTO equity_curve SELECT coalesce((SELECT run_id FROM runs), ''), * FROM equity_curve_of_before;

DROP TABLE equity_curve_of_before;

CREATE TEMP TABLE quarantine_of_before AS SELECT * FROM quarantine;

DROP TABLE quarantine;

CREATE TABLE quarantine (
    run_id    TEXT NOT NULL,
    id        INTEGER NOT NULL,
    timestamp INTEGER NOT NULL,
    code      TEXT NOT NULL,
    reason    TEXT NOT NULL,
    notice    TEXT NOT NULL,
    PRIMARY KEY (run_id, id)
) WITHOUT ROWID;

INSERT INTO quarantine SELECT coalesce((SELECT run_id FROM runs), ''), * FROM quarantine_of_before;

DROP TABLE quarantine_of_before;

CREATE TRIGGER quarantine_is_append_only BEFORE UPDATE ON quarantine
BEGIN
    SELECT RAISE(ABORT, 'quarantine is append-only');
END;

CREATE TEMP TABLE batches_of_before AS SELECT * FROM batches;

DROP TABLE batches;

CREATE TABLE batches (
    run_id TEXT NOT NULL,
    id     INTEGER NOT NULL,
    inbox  TEXT NOT NULL,
    PRIMARY KEY (run_id, id)
) WITHOUT ROWID;

INSERT INTO batches SELECT coalesce((SELECT run_id FROM runs), ''), * FROM batches_of_before;

DROP TABLE batches_of_before;

CREATE TRIGGER batches_is_append_only BEFORE UPDATE ON batches
BEGIN
    SELECT RAISE(ABORT, 'batches is append-only');
END;

CREATE TEMP TABLE bars_of_before AS SELECT * FROM bars;

DROP TABLE bars;

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

INSERT INTO bars SELECT coalesce((SELECT run_id FROM runs), ''), * FROM bars_of_before;

DROP TABLE bars_of_before;

CREATE INDEX bars_of_series ON bars (run_id, symbol, interval, id);

CREATE TRIGGER bars_is_append_only BEFORE UPDATE ON bars
BEGIN
    SELECT RAISE(ABORT, 'bars is append-only');
END;

-- So are settings.
CREATE TEMP TABLE configurations_of_before AS SELECT * FROM configurations;

DROP TABLE configurations;

CREATE TABLE configurations (
    run_id      TEXT NOT NULL,
    version     INTEGER NOT NULL,
    config_hash TEXT NOT NULL,
    timestamp   INTEGER NOT NULL,
    actor       TEXT NOT NULL,
    reason      TEXT NOT NULL,
    settings    TEXT NOT NULL,
    digest      TEXT,
    PRIMARY KEY (run_id, version)
);

INSERT INTO configurations SELECT coalesce((SELECT run_id FROM runs), ''), * FROM configurations_of_before;

DROP TABLE configurations_of_before;

CREATE TRIGGER configurations_is_append_only BEFORE UPDATE ON configurations
BEGIN
    SELECT RAISE(ABORT, 'configurations is append-only');
END;

CREATE TEMP TABLE strategy_files_of_before AS SELECT * FROM strategy_files;

DROP TABLE strategy_files;

CREATE TABLE strategy_files (
    run_id     TEXT NOT NULL,
    strategy   INTEGER NOT NULL,
    name       BLOB NOT NULL,
    class_name TEXT NOT NULL,
    digest     TEXT NOT NULL,
    PRIMARY KEY (run_id, strategy, name)
) WITHOUT ROWID;

INSERT INTO strategy_files
SELECT coalesce((SELECT run_id FROM runs), ''), strategy, name, class_name, digest FROM strategy_files_of_before;

DROP TABLE strategy_files_of_before;

-- The rows of a run come with the run; those of a file that has none yet go.
CREATE TEMP TABLE audit_chain_of_before AS SELECT * FROM audit_chain;

DROP TABLE audit_chain;

CREATE TABLE audit_chain (
    run_id   TEXT NOT NULL,
    of_table TEXT NOT NULL,
    unsealed INTEGER NOT NULL,
    PRIMARY KEY (run_id, of_table)
) WITHOUT ROWID;

INSERT INTO audit_chain SELECT run_id, of_table, unsealed FROM audit_chain_of_before CROSS JOIN runs;

DROP TABLE audit_chain_of_before;

-- A table with a rowid, so that a checkpoint of the same size overwrites the last one in place.
CREATE TEMP TABLE checkpoint_of_before AS SELECT * FROM checkpoint;

DROP TABLE checkpoint;

CREATE TABLE checkpoint (
    run_id TEXT NOT NULL PRIMARY KEY,
    id     INTEGER NOT NULL CHECK (id = 1),
    marks  TEXT NOT NULL,
    data   BLOB NOT NULL
);

INSERT INTO checkpoint SELECT coalesce((SELECT run_id FROM runs), ''), * FROM checkpoint_of_before;

DROP TABLE checkpoint_of_before;
