-- The last finished bars of each symbol and interval that a strategy declares, so that a resumed session has them. Older
-- ones are deleted with a checkpoint, so id has gaps. Nothing is booked from them: no row carries a digest, and
-- audit_chain has no row for this table. The mark of the checkpoint counts its rows behind those of corporate_actions.
CREATE TABLE bars (
    id        INTEGER PRIMARY KEY,
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
    day       TEXT NOT NULL
);

CREATE INDEX bars_of_series ON bars (symbol, interval, id);

CREATE TRIGGER bars_is_append_only BEFORE UPDATE ON bars
BEGIN
    SELECT RAISE(ABORT, 'bars is append-only');
END;
