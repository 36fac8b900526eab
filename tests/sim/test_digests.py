"""Results and books of six short sessions are those of an earlier version, byte for byte.

The checkpoint and what the result says of time (its latencies, its own beginning and end) are left out, and so is
what names the run. Who may renew the digests is written in their file.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sim.digest_sessions import SESSIONS
from tests.sim.digests import Left, differences, digests_of, kept_digests, left_by


@pytest.mark.parametrize("name", SESSIONS)
def test_a_session_gives_the_results_and_books_of_an_earlier_version(name: str, tmp_path: Path) -> None:
    # Given the digests that an earlier version left
    kept = kept_digests()[name]

    # When the same session runs
    left = left_by(name, tmp_path)

    # Then every row is the same
    assert list(differences(kept, left)) == [], "see the beginning of tests/sim/digests.json"


def test_every_session_is_kept_and_traded() -> None:
    kept = kept_digests()

    assert list(kept) == list(SESSIONS)
    for name, digests in kept.items():
        tables = {table: digests.tables[table].rows for table in ("orders", "t_ledger", "refusals", "equity_curve")}
        assert min(tables.values()) > 3, (name, tables)


LEDGER = ["id", "qty"]
BEFORE = Left(
    {"fills": "2", "rows": "9"}, {"t_ledger": (LEDGER, ["[1,5]", "[2,7]", "[3,8]"]), "orders": (["id"], [])}
)


@pytest.mark.parametrize(
    ("result", "rows", "told"),
    [
        (["fills", "rows"], ["[1,5]", "[2,7]", "[3,8]"], []),
        (["rows"], ["[1,5]", "[2,7]", "[3,8]"], ["the result has no 'fills' any more"]),
        (
            ["fills", "rows"],
            ["[1,5]", "[2,6]", "[3,0]"],
            ["table t_ledger differs from row 2 on (3 rows before, 3 now), which now is [2,6]"],
        ),
        (
            ["fills", "rows"],
            ["[1,5]", "[2,7]"],
            ["table t_ledger differs after row 2 (3 rows before, 2 now), where now follows nothing"],
        ),
        (
            ["fills", "rows"],
            ["[1,5]", "[2,7]", "[3,8]", "[4,1]"],
            ["table t_ledger differs after row 3 (3 rows before, 4 now), where now follows [4,1]"],
        ),
    ],
)
def test_the_first_difference_of_a_table_is_named(result: list[str], rows: list[str], told: list[str]) -> None:
    now = Left({key: BEFORE.result[key] for key in result}, {"t_ledger": (LEDGER, rows), "orders": (["id"], [])})

    assert list(differences(digests_of(BEFORE), now)) == told


def test_a_changed_value_of_the_result_a_lost_table_and_a_lost_column_are_named() -> None:
    now = Left({"fills": "3", "rows": "9"}, {"t_ledger": (["id"], ["[1]", "[2]", "[3]"])})

    assert list(differences(digests_of(BEFORE), now)) == [
        "result 'fills' differs, now 3",
        "table t_ledger has no column qty any more",
        "there is no table orders any more",
    ]


def test_a_field_added_to_a_record_of_the_result_is_no_difference_and_a_changed_one_is() -> None:
    def left(strategies: str) -> Left:
        return Left({"strategies": strategies}, {})

    kept = digests_of(left('[{"name":"a","halted":false}]'))

    assert list(differences(kept, left('[{"name":"a","new":1,"halted":false}]'))) == []
    assert list(differences(kept, left('[{"name":"a","new":1,"halted":true}]'))) == [
        'result \'strategies\' differs, now [{"name":"a","new":1,"halted":true}]'
    ]
    assert list(differences(kept, left("[]"))) == ["result 'strategies' differs, now []"]


def test_what_was_added_is_no_difference() -> None:
    rows = ['[1,"a",5]', '[2,"b",7]', '[3,"c",8]']
    now = Left(
        {**BEFORE.result, "new": "1"},
        {"t_ledger": (["id", "note", "qty"], rows), "orders": (["id"], []), "new": (["id"], ["[1]"])},
    )

    assert list(differences(digests_of(BEFORE), now)) == []
