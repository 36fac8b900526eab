"""Work on the runs of a server that people start: comparing, copying in and out, saving and restoring."""
