"""The page of the limits names every limit and every setting."""

from __future__ import annotations

from qts.broker.gateway.limits.config import LimitsConfig
from qts.broker.gateway.limits.rules import ENTRY_RULES, EXIT_RULES
from qts.report.reference.limits import SETTINGS, every_rule, limits_page


def test_each_limit_has_a_row_with_what_becomes_of_entries_and_exits() -> None:
    rows = {
        cells[1].strip("` "): [cell.strip() for cell in cells[3:5]]
        for line in limits_page().splitlines()
        if line.startswith("| `") and (cells := line.split("|"))
    }

    assert list(rows) == [rule.__name__ for rule in ENTRY_RULES]  # type: ignore[attr-defined]
    assert set(EXIT_RULES) <= set(ENTRY_RULES)
    assert rows["max_order_qty"] == ["refused", "noted"]
    assert rows["price_collar"] == ["refused", "refused"]
    assert rows["restricted_symbols"] == ["refused", ""]


def test_each_setting_but_the_switch_belongs_to_a_limit() -> None:
    names = [rule.__name__ for rule in every_rule()]  # type: ignore[attr-defined]
    settings = [setting for name in names for setting in SETTINGS.get(name, (name,))]

    assert sorted(settings) == sorted(set(LimitsConfig.__struct_fields__) - {"enabled"})
