-- Executions and what their stages answered, as in the local book.
CREATE TABLE executions (
    run_id          TEXT NOT NULL,
    execution_id    TEXT NOT NULL,
    strategy        TEXT NOT NULL,
    pool            TEXT NOT NULL,
    symbol          TEXT NOT NULL,
    side            TEXT NOT NULL,
    qty             TEXT NOT NULL,
    kind            TEXT NOT NULL,
    intent          TEXT NOT NULL,
    decision_price  TEXT NOT NULL,
    state           TEXT NOT NULL,
    filled          TEXT NOT NULL,
    amount          TEXT NOT NULL,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    plan            TEXT NOT NULL,
    children        TEXT NOT NULL,
    rounds          INTEGER NOT NULL,
    code            TEXT NOT NULL,
    reason          TEXT NOT NULL,
    PRIMARY KEY (run_id, execution_id)
) WITHOUT ROWID;

CREATE TABLE execution_logs (
    run_id       TEXT NOT NULL,
    id           INTEGER NOT NULL,
    timestamp    INTEGER NOT NULL,
    execution_id TEXT NOT NULL,
    stage        TEXT NOT NULL,
    from_state   TEXT NOT NULL,
    to_state     TEXT NOT NULL,
    order_id     TEXT NOT NULL,
    code         TEXT NOT NULL,
    inputs       TEXT NOT NULL,
    answer       TEXT NOT NULL,
    own_ns       INTEGER,
    PRIMARY KEY (run_id, id)
);
