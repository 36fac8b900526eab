"""What is mutated, and by which tests each mutant is tried."""

from __future__ import annotations

AREAS: dict[str, tuple[list[str], list[str]]] = {
    "ledger": (["src/qts/ledger"], ["tests/ledger"]),
    "safety": (["src/qts/safety"], ["tests/safety"]),
    "risk": (["src/qts/risk"], ["tests/risk"]),
}
