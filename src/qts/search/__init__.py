"""Searches over the parameters of a strategy: many backtests, the same answer for any number of workers.

An answer comes with what luck alone would have given.
"""
