"""Doubles of services that the tests cannot reach: servers of our own that behave as the service does."""
