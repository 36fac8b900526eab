"""A cache for other programs and machines: prices, positions, orders, risk of a session, each for a short time."""
