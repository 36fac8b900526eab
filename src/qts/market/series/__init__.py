"""Series of bars: intervals, building bars from trades or from finer bars, windows over the last of them."""
