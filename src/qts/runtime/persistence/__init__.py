"""What outlives the process: the writer of the store, checkpoints, recovery, histories, the log, `view.json`."""
