"""Parts that outlive the process: the store writer, checkpoints, recovery, histories, the log, `view.json`."""
