"""What a strategy is, how one is loaded and remembered, and four that work."""
