-- What was committed together is one batch; id is its number in the run, from 1 without gaps. inbox: the events whose
-- effect is in it, as a JSON array of their ids; empty for none. The mark of the checkpoint counts its rows behind
-- those of quarantine.
CREATE TABLE batches (
    id    INTEGER PRIMARY KEY,
    inbox TEXT NOT NULL
);

CREATE TRIGGER batches_is_append_only BEFORE UPDATE ON batches
BEGIN
    SELECT RAISE(ABORT, 'batches is append-only');
END;
