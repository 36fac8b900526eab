"""What a running session checks: books against rows and broker, invariants, prices, limits of the account."""
