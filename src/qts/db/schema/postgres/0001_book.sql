-- The books of many runs and accounts, as their local books hold them: the same tables with the same columns,
-- filled batch by batch by qts_apply (0002). A key begins with the run or its account, so that two runs never meet.
-- Amounts are numerics that keep their digits, times bigint nanoseconds since 1970 UTC, flags 0 or 1. Rows of one
-- run are numbered in id as in its local book. Texts of keys compare byte by byte, in every database alike. The
-- names are of no schema: the migration chooses one (qts), and the functions keep it.

-- What a row may be was judged by its local book; here amounts have to be finite and no more, in one look at a row:
-- NaN and Infinity in one of them are also in their sum, and NaN sorts above Infinity.

CREATE TABLE runs (
    run_id      text COLLATE "C" NOT NULL,
    command     text NOT NULL,
    seed        bigint NOT NULL,
    source_id   text NOT NULL,
    config_hash text NOT NULL,
    started_at  text NOT NULL,
    finished    smallint NOT NULL,
    result      text NOT NULL,
    account     text COLLATE "C" NOT NULL,
    PRIMARY KEY (run_id)
);

CREATE INDEX runs_of_account ON runs (account, run_id);

-- How far each run has come, and who may write it. applied: the newest batch, all before it are there too. loading:
-- a copy of the run is being written up to this batch; the run is whole when applied has reached it. epoch: batches
-- of another one are refused; 0 before the first claim. real_broker: the run was claimed together with all others
-- of its account.
CREATE TABLE run_progress (
    run_id      text COLLATE "C" NOT NULL,
    account     text COLLATE "C" NOT NULL,
    applied     bigint NOT NULL DEFAULT 0,
    loading     bigint NOT NULL DEFAULT 0,
    epoch       bigint NOT NULL DEFAULT 0,
    real_broker boolean NOT NULL DEFAULT false,
    holder      text NOT NULL DEFAULT '',
    changed_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (run_id)
) WITH (fillfactor = 70);

CREATE INDEX run_progress_of_account ON run_progress (account, run_id);

-- Every configuration that a run has had in force, from version 1; settings is a JSON object, secrets masked.
CREATE TABLE configurations (
    run_id      text COLLATE "C" NOT NULL,
    version     bigint NOT NULL,
    config_hash text NOT NULL,
    timestamp   bigint NOT NULL,
    actor       text NOT NULL,
    reason      text NOT NULL,
    settings    text NOT NULL,
    PRIMARY KEY (run_id, version)
);

-- The files that the strategies of a run were made of when it began; a name need not be text.
CREATE TABLE strategy_files (
    run_id     text COLLATE "C" NOT NULL,
    strategy   bigint NOT NULL,
    name       bytea NOT NULL,
    class_name text NOT NULL,
    digest     text NOT NULL,
    PRIMARY KEY (run_id, strategy, name)
);

-- One row for each transaction of the local book. inbox: the events whose effect is in it, as a JSON array of their
-- ids; empty for none.
CREATE TABLE batches (
    run_id text COLLATE "C" NOT NULL,
    id     bigint NOT NULL,
    inbox  text NOT NULL,
    PRIMARY KEY (run_id, id)
);

-- An amount of a sealed row that was written in another form than numeric gives it (1E+3, -0): its digest is that
-- of the text. place counts the columns of the row in a batch from 0, the number of the row being the first.
CREATE TABLE written_forms (
    run_id   text COLLATE "C" NOT NULL,
    of_table text COLLATE "C" NOT NULL,
    id       bigint NOT NULL,
    place    smallint NOT NULL,
    form     text NOT NULL,
    PRIMARY KEY (run_id, of_table, id, place)
);

CREATE TABLE t_ledger (
    run_id       text COLLATE "C" NOT NULL,
    id           bigint NOT NULL,
    timestamp    bigint NOT NULL,
    symbol       text NOT NULL,
    side         text NOT NULL,
    qty          numeric NOT NULL,
    price        numeric NOT NULL,
    amount       numeric NOT NULL,
    fee          numeric NOT NULL,
    tax          numeric NOT NULL,
    realized_pnl numeric NOT NULL,
    strategy_tag text NOT NULL,
    pool         text NOT NULL,
    order_id     text COLLATE "C" NOT NULL,
    execution_id text COLLATE "C" NOT NULL,
    broker       text COLLATE "C" NOT NULL,
    account      text COLLATE "C" NOT NULL,
    trade_date   text COLLATE "C" NOT NULL,
    digest       text,
    PRIMARY KEY (run_id, id),
    CONSTRAINT t_ledger_is_finite CHECK (abs(qty + price + amount + fee + tax + realized_pnl) < 'Infinity')
);

-- What makes a fill is the account, the broker, the market's own date, the order and the execution id together. The
-- ids of a simulated broker begin again with each run.
CREATE UNIQUE INDEX t_ledger_fills ON t_ledger (
    account, broker, trade_date, order_id, execution_id, (CASE WHEN broker = 'sim' THEN run_id ELSE '' END)
);

-- Double entry: leg 1 leaves the source, leg 2 reaches the target.
CREATE TABLE capital_transfers (
    account     text COLLATE "C" NOT NULL,
    run_id      text COLLATE "C" NOT NULL,
    id          bigint NOT NULL,
    transfer_id text COLLATE "C" NOT NULL,
    leg         smallint NOT NULL CHECK (leg IN (1, 2)),
    other_leg   smallint NOT NULL CHECK (other_leg = 3 - leg),
    timestamp   bigint NOT NULL,
    pool        text NOT NULL,
    amount      numeric NOT NULL CHECK (amount <> 0 AND (amount < 0) = (leg = 1)),
    rule        text NOT NULL,
    reason      text NOT NULL,
    digest      text,
    PRIMARY KEY (run_id, id),
    UNIQUE (account, run_id, transfer_id, leg),
    CONSTRAINT capital_transfers_is_finite CHECK (abs(amount) < 'Infinity')
);

-- An approval lets one order leave, once.
CREATE TABLE decisions (
    run_id          text COLLATE "C" NOT NULL,
    id              bigint NOT NULL,
    approval_id     text COLLATE "C" NOT NULL,
    decision_id     text NOT NULL,
    client_order_id text NOT NULL,
    timestamp       bigint NOT NULL,
    expires_at      bigint NOT NULL,
    config_hash     text NOT NULL,
    inputs          text NOT NULL,
    digest          text,
    PRIMARY KEY (run_id, id),
    UNIQUE (run_id, approval_id)
);

CREATE TABLE refusals (
    run_id      text COLLATE "C" NOT NULL,
    id          bigint NOT NULL,
    decision_id text NOT NULL,
    timestamp   bigint NOT NULL,
    strategy    text NOT NULL,
    symbol      text NOT NULL,
    side        text NOT NULL,
    reason      text NOT NULL,
    detail      text NOT NULL,
    PRIMARY KEY (run_id, id)
);

CREATE TABLE state_history (
    run_id     text COLLATE "C" NOT NULL,
    id         bigint NOT NULL,
    seq        bigint NOT NULL,
    timestamp  bigint NOT NULL,
    from_state text NOT NULL,
    to_state   text NOT NULL,
    reason     text NOT NULL,
    meta       text NOT NULL,
    digest     text,
    PRIMARY KEY (run_id, id),
    UNIQUE (run_id, seq)
);

CREATE TABLE safety_history (
    run_id     text COLLATE "C" NOT NULL,
    id         bigint NOT NULL,
    seq        bigint NOT NULL,
    timestamp  bigint NOT NULL,
    from_state text NOT NULL,
    to_state   text NOT NULL,
    code       text NOT NULL,
    actor      text NOT NULL,
    reason     text NOT NULL,
    digest     text,
    PRIMARY KEY (run_id, id),
    UNIQUE (run_id, seq)
);

CREATE TABLE equity_curve (
    run_id    text COLLATE "C" NOT NULL,
    id        bigint NOT NULL,
    timestamp bigint NOT NULL,
    equity    numeric NOT NULL,
    cash      numeric NOT NULL,
    scalp     numeric NOT NULL,
    swing     numeric NOT NULL,
    portfolio numeric NOT NULL,
    state     text NOT NULL,
    safety    text NOT NULL,
    PRIMARY KEY (run_id, id),
    CONSTRAINT equity_curve_is_finite CHECK (abs(equity + cash + scalp + swing + portfolio) < 'Infinity')
);

CREATE TABLE quarantine (
    run_id    text COLLATE "C" NOT NULL,
    id        bigint NOT NULL,
    timestamp bigint NOT NULL,
    code      text NOT NULL,
    reason    text NOT NULL,
    notice    text NOT NULL,
    PRIMARY KEY (run_id, id)
);

CREATE TABLE corporate_actions (
    run_id       text COLLATE "C" NOT NULL,
    id           bigint NOT NULL,
    timestamp    bigint NOT NULL,
    kind         text COLLATE "C" NOT NULL,
    symbol       text COLLATE "C" NOT NULL,
    strategy     text COLLATE "C" NOT NULL,
    pool         text NOT NULL,
    held         numeric NOT NULL,
    change       numeric NOT NULL,
    new_shares   numeric NOT NULL,
    old_shares   numeric NOT NULL,
    price        numeric NOT NULL,
    amount       numeric NOT NULL,
    tax          numeric NOT NULL,
    realized_pnl numeric NOT NULL,
    account      text COLLATE "C" NOT NULL,
    ex_date      text COLLATE "C" NOT NULL,
    digest       text NOT NULL,
    PRIMARY KEY (run_id, id),
    UNIQUE (account, run_id, kind, symbol, ex_date, strategy),
    CONSTRAINT corporate_actions_is_finite CHECK (
        abs(held + change + new_shares + old_shares + price + amount + tax + realized_pnl) <
        'Infinity'
    )
);

CREATE TABLE bars (
    run_id    text COLLATE "C" NOT NULL,
    id        bigint NOT NULL,
    symbol    text COLLATE "C" NOT NULL,
    interval  text COLLATE "C" NOT NULL,
    timestamp bigint NOT NULL,
    begun     bigint NOT NULL,
    open      numeric NOT NULL,
    high      numeric NOT NULL,
    low       numeric NOT NULL,
    close     numeric NOT NULL,
    volume    numeric NOT NULL,
    value     numeric,
    trades    bigint,
    partial   smallint NOT NULL,
    day       text NOT NULL,
    PRIMARY KEY (run_id, id),
    CONSTRAINT bars_is_finite CHECK (abs(open + high + low + close + volume + coalesce(value, 0)) < 'Infinity')
);

CREATE TABLE bookings (
    run_id       text COLLATE "C" NOT NULL,
    id           bigint NOT NULL,
    timestamp    bigint NOT NULL,
    kind         text COLLATE "C" NOT NULL,
    owner        text COLLATE "C" NOT NULL,
    strategy     text NOT NULL,
    symbol       text COLLATE "C" NOT NULL,
    qty          numeric NOT NULL,
    price        numeric NOT NULL,
    amount       numeric NOT NULL,
    fee          numeric NOT NULL,
    tax          numeric NOT NULL,
    cost         numeric NOT NULL,
    realized_pnl numeric NOT NULL,
    broker       text COLLATE "C" NOT NULL,
    order_id     text COLLATE "C" NOT NULL,
    reference    text COLLATE "C" NOT NULL,
    day          text COLLATE "C" NOT NULL,
    actor        text NOT NULL,
    reason       text NOT NULL,
    account      text COLLATE "C" NOT NULL,
    digest       text NOT NULL,
    PRIMARY KEY (run_id, id),
    UNIQUE (account, run_id, kind, owner, symbol, broker, day, order_id, reference),
    CONSTRAINT bookings_is_finite CHECK (
        abs(qty + price + amount + fee + tax + cost + realized_pnl) < 'Infinity'
    )
);

CREATE TABLE day_closes (
    run_id             text COLLATE "C" NOT NULL,
    id                 bigint NOT NULL,
    account            text COLLATE "C" NOT NULL,
    day                text COLLATE "C" NOT NULL,
    timestamp          bigint NOT NULL,
    fills              bigint NOT NULL,
    actions            bigint NOT NULL,
    transfers          bigint NOT NULL,
    bookings           bigint NOT NULL,
    orders             bigint NOT NULL,
    causes             bigint NOT NULL,
    newest_trade_date  text NOT NULL,
    equity             numeric NOT NULL,
    scalp_cash         numeric NOT NULL,
    scalp_realized     numeric NOT NULL,
    scalp_at           bigint NOT NULL,
    swing_cash         numeric NOT NULL,
    swing_realized     numeric NOT NULL,
    swing_at           bigint NOT NULL,
    portfolio_cash     numeric NOT NULL,
    portfolio_realized numeric NOT NULL,
    portfolio_at       bigint NOT NULL,
    fees               numeric NOT NULL,
    taxes              numeric NOT NULL,
    dividends          numeric NOT NULL,
    dividend_taxes     numeric NOT NULL,
    fractions          numeric NOT NULL,
    deposits           numeric NOT NULL,
    withdrawals        numeric NOT NULL,
    adjustments        numeric NOT NULL,
    contributions      numeric NOT NULL,
    contributed_value  numeric NOT NULL,
    external_cash      numeric NOT NULL,
    external_realized  numeric NOT NULL,
    digest             text NOT NULL,
    PRIMARY KEY (run_id, id),
    UNIQUE (account, run_id, day),
    CONSTRAINT day_closes_is_finite CHECK (
        abs(equity + scalp_cash + scalp_realized + swing_cash + swing_realized + portfolio_cash +
        portfolio_realized + fees + taxes + dividends + dividend_taxes + fractions + deposits +
        withdrawals + adjustments + contributions + contributed_value + external_cash +
        external_realized) < 'Infinity'
    )
);

CREATE TABLE holding_closes (
    run_id       text COLLATE "C" NOT NULL,
    id           bigint NOT NULL,
    account      text COLLATE "C" NOT NULL,
    day          text COLLATE "C" NOT NULL,
    owner        text NOT NULL,
    strategy     text COLLATE "C" NOT NULL,
    symbol       text COLLATE "C" NOT NULL,
    qty          numeric NOT NULL,
    cost         numeric NOT NULL,
    basis        numeric NOT NULL,
    realized     numeric NOT NULL,
    timestamp    bigint NOT NULL,
    broker       text NOT NULL,
    execution_id text NOT NULL,
    order_id     text NOT NULL,
    digest       text NOT NULL,
    PRIMARY KEY (run_id, id),
    UNIQUE (account, run_id, strategy, symbol, day),
    CONSTRAINT holding_closes_is_finite CHECK (abs(qty + cost + basis + realized) < 'Infinity')
);

-- Signed quantity: no constraint may refuse a true fill. These three tables hold rows as they last stood.
CREATE TABLE positions (
    account    text COLLATE "C" NOT NULL,
    run_id     text COLLATE "C" NOT NULL,
    strategy   text COLLATE "C" NOT NULL,
    symbol     text COLLATE "C" NOT NULL,
    pool       text NOT NULL,
    qty        numeric NOT NULL,
    cost       numeric NOT NULL,
    updated_at bigint NOT NULL,
    PRIMARY KEY (account, run_id, strategy, symbol),
    CONSTRAINT positions_is_finite CHECK (abs(qty + cost) < 'Infinity')
) WITH (fillfactor = 70);

CREATE TABLE capital_pools (
    account      text COLLATE "C" NOT NULL,
    run_id       text COLLATE "C" NOT NULL,
    pool         text COLLATE "C" NOT NULL,
    cash         numeric NOT NULL,
    realized_pnl numeric NOT NULL,
    updated_at   bigint NOT NULL,
    PRIMARY KEY (account, run_id, pool),
    CONSTRAINT capital_pools_is_finite CHECK (abs(cash + realized_pnl) < 'Infinity')
) WITH (fillfactor = 70);

-- No order without the approval that names it.
CREATE TABLE orders (
    run_id          text COLLATE "C" NOT NULL,
    client_order_id text COLLATE "C" NOT NULL,
    decision_id     text NOT NULL,
    approval_id     text COLLATE "C" NOT NULL,
    strategy        text NOT NULL,
    pool            text NOT NULL,
    symbol          text NOT NULL,
    side            text NOT NULL,
    qty             numeric NOT NULL,
    price           numeric,
    decision_price  numeric NOT NULL,
    state           text NOT NULL,
    filled          numeric NOT NULL,
    created_at      bigint NOT NULL,
    updated_at      bigint NOT NULL,
    venue_refs      text NOT NULL,
    reduce_only     smallint NOT NULL,
    forced          smallint NOT NULL,
    reason          text NOT NULL,
    note            text NOT NULL,
    type            text NOT NULL,
    time_in_force   text NOT NULL,
    venue           text NOT NULL,
    parent_id       text NOT NULL,
    expires_at      bigint,
    stop_price      numeric,
    tag             text NOT NULL,
    PRIMARY KEY (run_id, client_order_id),
    FOREIGN KEY (run_id, approval_id) REFERENCES decisions (run_id, approval_id)
        DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT orders_is_finite CHECK (
        abs(qty + decision_price + filled + coalesce(price, 0) + coalesce(stop_price, 0)) < 'Infinity'
    )
) WITH (fillfactor = 70);
