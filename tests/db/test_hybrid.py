"""Which servers follow the local book in each mode, and which one is read."""

from __future__ import annotations

import pytest

from qts.db.hybrid import DataSourceMode, HybridAdapter
from qts.errors import InputError

BOTH = {"sheets": "the spreadsheet", "database": "the database"}


@pytest.mark.parametrize(
    ("mode", "followers", "reader"),
    [
        ("SHEETS_ONLY", ["sheets"], "the spreadsheet"),
        ("HYBRID", ["database", "sheets"], "the database"),
        ("DB_ONLY", ["database"], "the database"),
    ],
)
def test_each_mode_has_its_followers_and_its_reader(mode: str, followers: list[str], reader: str) -> None:
    hybrid = HybridAdapter(BOTH, mode)
    assert (list(hybrid.followers), hybrid.reader, hybrid.mode.value) == (followers, reader, mode)


@pytest.mark.parametrize(
    ("setting", "variable", "named", "mode"),
    [
        ("DB_ONLY", "HYBRID", BOTH, DataSourceMode.DB_ONLY),  # the setting counts before the environment
        ("auto", "SHEETS_ONLY", BOTH, DataSourceMode.SHEETS_ONLY),  # which counts before what is named
        ("auto", "", BOTH, DataSourceMode.HYBRID),
        ("auto", "", {"database": ""}, DataSourceMode.DB_ONLY),
        ("auto", "", {"sheets": ""}, DataSourceMode.SHEETS_ONLY),
    ],
)
def test_setting_environment_and_what_is_named_count_in_this_order(
    setting: str, variable: str, named: dict[str, str], mode: DataSourceMode
) -> None:
    assert HybridAdapter(named, setting, variable).mode is mode


@pytest.mark.parametrize(
    ("setting", "variable", "named", "said"),
    [
        ("HYBRID", "", ("sheets",), "store.data_source_mode is HYBRID, which needs a database: --db URL"),
        ("auto", "HYBRID", ("database",), "DATA_SOURCE_MODE is HYBRID, which needs a spreadsheet: --sheets ID"),
        ("auto", "DB_ONLY", (), "DATA_SOURCE_MODE is DB_ONLY, which needs a database"),
        ("SHEETS_ONLY", "", ("database",), "store.data_source_mode is SHEETS_ONLY, which needs a spreadsheet"),
        ("auto", "hybrid", BOTH, "DATA_SOURCE_MODE is 'hybrid'; allowed are SHEETS_ONLY, HYBRID, DB_ONLY"),
    ],
)
def test_a_mode_that_cannot_work_is_refused_with_where_it_comes_from(
    setting: str, variable: str, named: tuple[str, ...], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        HybridAdapter(dict.fromkeys(named, ""), setting, variable)
