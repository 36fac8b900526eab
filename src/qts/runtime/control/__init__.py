"""What operators want of a running session: commands, stops, the files and signals they come by."""
