"""The page of the limits names every limit and every setting."""

from __future__ import annotations

from qts.broker.gateway.limits.config import LimitsConfig
from qts.broker.gateway.limits.count_config import SOFT, CountLimits
from qts.broker.gateway.limits.rules import ENTRY_RULES, EXIT_RULES
from qts.report.reference.limits import COUNTED, SETTINGS, every_rule, limits_page


def rows_of(text: str) -> dict[str, list[str]]:
    return {
        cells[1].strip("` "): [cell.strip() for cell in cells[3:5]]
        for line in text.splitlines()
        if line.startswith("| `") and (cells := line.split("|"))
    }


def test_each_limit_has_a_row_with_what_becomes_of_entries_and_exits() -> None:
    rows = rows_of(limits_page().partition("## Limits that count")[0])

    assert list(rows) == [rule.__name__ for rule in ENTRY_RULES]  # type: ignore[attr-defined]
    assert set(EXIT_RULES) <= set(ENTRY_RULES)
    assert rows["max_order_qty"] == ["refused", "noted"]
    assert rows["price_collar"] == ["refused", "refused"]
    assert rows["restricted_symbols"] == ["refused", ""]


def test_each_setting_but_the_switch_belongs_to_a_limit() -> None:
    names = [rule.__name__ for rule in every_rule()]  # type: ignore[attr-defined]
    settings = [setting for name in names for setting in SETTINGS.get(name, (name,))]

    assert sorted(settings) == sorted(set(LimitsConfig.__struct_fields__) - {"enabled"})


def test_each_limit_that_counts_has_a_row_with_what_follows_and_each_setting_belongs_to_one() -> None:
    rows = rows_of(limits_page().partition("## Limits that count")[2])

    assert list(rows) == list(COUNTED)
    assert rows["duplicate_window_ms"] == ["the entry is refused", "`broker.limits.duplicate_window_ms` (500)"]
    settings = [setting for _, _, settings in COUNTED.values() for setting in settings]
    assert sorted(settings) == sorted(set(CountLimits.__struct_fields__) - set(LimitsConfig.__struct_fields__))
    assert set(settings) >= SOFT
