"""The database and the spreadsheet of one account, on the way from the one to the other.

The mode decides which of them follow the local book, and which one the readers of a server read. Money is read
from the local book in every mode.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final, Generic, TypeVar

from qts.db.config import AUTO, DATABASE, SHEETS
from qts.errors import InputError

_T = TypeVar("_T")
VARIABLE: Final = "DATA_SOURCE_MODE"
SETTING: Final = "store.data_source_mode"


class DataSourceMode(str, Enum):
    """The three steps of the way out of Google Sheets.

    SHEETS_ONLY: the spreadsheet follows, and is read. HYBRID: both follow, the database is read. DB_ONLY: the
    database follows, and is read.
    """

    SHEETS_ONLY = "SHEETS_ONLY"
    HYBRID = "HYBRID"
    DB_ONLY = "DB_ONLY"


_FOLLOWERS: Final = {
    DataSourceMode.SHEETS_ONLY: (SHEETS,),
    DataSourceMode.HYBRID: (DATABASE, SHEETS),
    DataSourceMode.DB_ONLY: (DATABASE,),
}
_OPTIONS: Final = {
    DATABASE: "a database: --db URL, or QTS_DB_URL",
    SHEETS: "a spreadsheet: --sheets ID, or QTS_SHEETS_ID",
}


class HybridAdapter(Generic[_T]):
    """The servers that are ``named``, and what the mode makes of them.

    ``named`` holds the adapter of each server, or what makes it, by name (DATABASE, SHEETS). ``setting``: the value
    of ``store.data_source_mode``; with "auto" the ``variable`` of the environment counts, and without one (""),
    what is named: both are HYBRID.

    Raises InputError, naming where the mode comes from, for one that is none or needs a server that is not named.
    """

    def __init__(self, named: Mapping[str, _T], setting: str = AUTO, variable: str = "") -> None:
        self._named = named
        self.mode = _chosen(named, setting, variable)

    @property
    def followers(self) -> Mapping[str, _T]:
        """Return those that follow the local book, by name, the database first."""
        return {name: self._named[name] for name in _FOLLOWERS[self.mode]}

    @property
    def reader(self) -> _T:
        """Return the one that is read."""
        return self._named[SHEETS if self.mode is DataSourceMode.SHEETS_ONLY else DATABASE]


def _chosen(named: Mapping[str, object], setting: str, variable: str) -> DataSourceMode:
    source, text = (SETTING, setting) if setting != AUTO else (VARIABLE, variable)
    if not text:
        text = "HYBRID" if len(named) > 1 else "SHEETS_ONLY" if SHEETS in named else "DB_ONLY"
    try:
        mode = DataSourceMode(text)
    except ValueError:
        allowed = ", ".join(one.value for one in DataSourceMode)
        raise InputError(f"{source} is {text[:40]!r}; allowed are {allowed}") from None
    for name in _FOLLOWERS[mode]:
        if name not in named:
            raise InputError(
                f"{source} is {mode.value}, which needs {_OPTIONS[name]}; name it, or choose another mode"
            )
    return mode
