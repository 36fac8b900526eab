"""Exits that a rule or a person requires: who requires which, how much is left, and which one order comes next."""
