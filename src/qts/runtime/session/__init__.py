"""One session from its plan to its result: inputs, resuming, scheduled tasks, the view of its state."""
