"""Makes a session known in a cache, for other programs and machines: prices, positions, orders, risk, the view."""
