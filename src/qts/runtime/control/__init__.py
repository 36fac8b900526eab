"""Control of a running session by operators: commands, stops, and the files and signals that carry them."""
