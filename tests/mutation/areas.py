"""What is mutated, and by which tests each mutant is tried."""

from __future__ import annotations

# Files and folders, and tests that are quick; each mutant runs those that reach its lines.
AREAS: dict[str, tuple[list[str], list[str]]] = {
    "ledger": (["src/qts/ledger"], ["tests/ledger"]),
    "safety": (["src/qts/safety"], ["tests/safety"]),
    "risk": (["src/qts/risk"], ["tests/risk"]),
    "gateway": (
        ["src/qts/broker/gateway"],
        [
            *(
                "tests/broker/test_admission.py",
                "tests/broker/test_counted_limits.py",
                "tests/broker/test_limits.py",
            ),
            *(
                "tests/broker/test_gateway.py",
                "tests/broker/test_gateway_failures.py",
                "tests/broker/test_lanes.py",
            ),
            *(
                "tests/broker/test_file_thread.py",
                "tests/broker/test_messages.py",
                "tests/broker/test_sent_file.py",
            ),
        ],
    ),
    "journal": (
        ["src/qts/event/journal*.py"],
        [
            *("tests/event/test_journal.py", "tests/event/test_journal_agreement.py"),
            *("tests/event/test_journal_dispatcher.py", "tests/event/test_journal_key.py"),
            *("tests/event/test_journal_lanes.py", "tests/event/test_journal_names.py"),
            *("tests/event/test_journal_no_thread.py", "tests/event/test_journal_segments.py"),
        ],
    ),
}
