"""QTS: a trading runtime."""
