-- Executions: quantities that were approved once and are worked off by one order or by many, and what each stage of
-- theirs answered. The parts are orders whose parent_id is the execution's id. plan, intent and children are JSON; own_ns
-- is how long the stage itself took, NULL on the virtual clock. The mark of the checkpoint counts rows of execution_logs
-- behind those of holding_closes.
CREATE TABLE executions (
    run_id          TEXT NOT NULL,
    execution_id    TEXT NOT NULL,
    strategy        TEXT NOT NULL,
    pool            TEXT NOT NULL CHECK (pool IN ('SCALP', 'SWING', 'PORTFOLIO')),
    symbol          TEXT NOT NULL,
    side            TEXT NOT NULL CHECK (side IN ('BUY', 'SELL')),
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
    generation      INTEGER NOT NULL,
    before          TEXT,
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
) WITHOUT ROWID;

CREATE TRIGGER execution_logs_is_append_only BEFORE UPDATE ON execution_logs
BEGIN
    SELECT RAISE(ABORT, 'execution_logs is append-only');
END;

CREATE TRIGGER executions_is_kept BEFORE DELETE ON executions
WHEN EXISTS (SELECT 1 FROM kept_runs)
BEGIN
    SELECT RAISE(ABORT, 'nothing is deleted from executions: its run trades with a real broker');
END;

CREATE TRIGGER execution_logs_is_kept BEFORE DELETE ON execution_logs
WHEN EXISTS (SELECT 1 FROM kept_runs)
BEGIN
    SELECT RAISE(ABORT, 'nothing is deleted from execution_logs: its run trades with a real broker');
END;
