"""Tests of the adapter of KIS."""
