"""Checks of a running session: the books against rows and broker, invariants, prices, limits of the account."""
