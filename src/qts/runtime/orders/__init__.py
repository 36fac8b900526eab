"""The life of an order: signals, decisions, sending, execution reports, forced exits, reconciliation, trades."""
