"""One session from its plan to its result: inputs, resuming, appointments, the view that everybody reads."""
