"""Backtests from a program or a notebook: :func:`qts.backtest` and its result."""
