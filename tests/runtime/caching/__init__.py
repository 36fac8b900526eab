"""Tests of what a session makes known in a cache."""
