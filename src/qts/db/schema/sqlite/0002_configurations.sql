-- Every configuration a run has had in force, from version 1.
-- Not part of what a checkpoint rewinds: what was accepted stays accepted. settings is a JSON object, secrets masked.

CREATE TABLE configurations (
    version     INTEGER PRIMARY KEY,
    config_hash TEXT NOT NULL,
    timestamp   INTEGER NOT NULL,
    actor       TEXT NOT NULL,
    reason      TEXT NOT NULL,
    settings    TEXT NOT NULL
);

CREATE TRIGGER configurations_is_append_only BEFORE UPDATE ON configurations
BEGIN
    SELECT RAISE(ABORT, 'configurations is append-only');
END;
