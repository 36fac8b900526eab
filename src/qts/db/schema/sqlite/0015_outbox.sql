-- What followers (servers that copy the run) have not all got yet, written in the transaction that it copies. A row is the
-- body of a batch as it is sent, and is deleted when every follower is done with it, in runs of a real broker too: the
-- facts themselves stay in their tables. Without followers there are no rows. A rewind deletes what lies behind the
-- checkpoint. The table has row numbers of its own: bodies are long, and then lie in its leaves.
CREATE TABLE outbox (
    run_id TEXT NOT NULL,
    seq    INTEGER NOT NULL,
    body   BLOB NOT NULL,
    PRIMARY KEY (run_id, seq)
);

-- The number of the newest batch that each follower has told it has.
CREATE TABLE followers (
    run_id TEXT NOT NULL,
    name   TEXT NOT NULL,
    done   INTEGER NOT NULL,
    PRIMARY KEY (run_id, name)
) WITHOUT ROWID;
