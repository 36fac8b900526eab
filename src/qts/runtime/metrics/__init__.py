"""Metrics that the states are judged on: the course of an account or an index, volatility, extremes."""
