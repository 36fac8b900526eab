-- What happened cannot be changed unnoticed: each row carries the SHA-256 (hex) of the digest before it in its table, of
-- its number and of its content. unsealed is the number of the last row that was there before rows were sealed.

ALTER TABLE t_ledger ADD COLUMN digest TEXT;
ALTER TABLE capital_transfers ADD COLUMN digest TEXT;
ALTER TABLE decisions ADD COLUMN digest TEXT;
ALTER TABLE state_history ADD COLUMN digest TEXT;
ALTER TABLE safety_history ADD COLUMN digest TEXT;
ALTER TABLE configurations ADD COLUMN digest TEXT;

CREATE TABLE audit_chain (
    of_table TEXT PRIMARY KEY,
    unsealed INTEGER NOT NULL
) WITHOUT ROWID;

INSERT INTO audit_chain
SELECT 't_ledger', coalesce(max(id), 0) FROM t_ledger
UNION ALL SELECT 'capital_transfers', coalesce(max(id), 0) FROM capital_transfers
UNION ALL SELECT 'decisions', coalesce(max(id), 0) FROM decisions
UNION ALL SELECT 'state_history', coalesce(max(id), 0) FROM state_history
UNION ALL SELECT 'safety_history', coalesce(max(id), 0) FROM safety_history
UNION ALL SELECT 'configurations', coalesce(max(version), 0) FROM configurations;

CREATE TRIGGER state_history_is_append_only BEFORE UPDATE ON state_history
BEGIN
    SELECT RAISE(ABORT, 'state_history is append-only');
END;

CREATE TRIGGER safety_history_is_append_only BEFORE UPDATE ON safety_history
BEGIN
    SELECT RAISE(ABORT, 'safety_history is append-only');
END;

-- The files that each strategy of the run was made of when it began; a name need not be text.
CREATE TABLE strategy_files (
    strategy   INTEGER NOT NULL,
    class_name TEXT NOT NULL,
    name       BLOB NOT NULL,
    digest     TEXT NOT NULL,
    PRIMARY KEY (strategy, name)
) WITHOUT ROWID;
