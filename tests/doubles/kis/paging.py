"""Pages of lists: rows behind the key of the last page, and the keys and header that say whether there are more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

from tests.doubles.kis.answers import gateway
from tests.doubles.kis.faults import Faults
from tests.doubles.kis.rest import Fields
from tests.doubles.kis.settings import Settings

Row = dict[str, str]
T = TypeVar("T")
KEY_LENGTH = 100
FIRST, MIDDLE, ONLY, LAST = "F", "M", "D", "E"


class Page(NamedTuple):
    """One page: its rows, the header ``tr_cont``, and the two keys for the next one."""

    rows: list[Row]
    tr_cont: str
    search: str
    next: str


class Pager:
    """Cuts lists into pages. The next page begins behind the row whose key it is asked with."""

    def __init__(self, faults: Faults, settings: Settings) -> None:
        self._faults, self._settings = faults, settings

    def page(
        self,
        shown: Sequence[T],
        size: int,
        fields: Fields,
        tr_cont: str,
        tr_id: str,
        *,
        name: str,
        key: Callable[[T], str],
        row: Callable[[T], Row],
        suffix: str = "100",
    ) -> Page:
        """Return the page that is asked for, made of ``shown`` by ``row``.

        Without the header ``tr_cont`` N it is the first.
        """
        fault = self._faults.rows(name, tr_id, fields)
        is_next = tr_cont == "N" or not self._settings.pages_need_header
        by_offset = self._settings.pages_by == "offset"
        asked = fields[f"CTX_AREA_NK{suffix}"].strip() if is_next else ""
        begin = 0
        if asked and by_offset:
            begin = int(asked)
        elif asked:
            begin = next((place + 1 for place, one in enumerate(shown) if key(one) == asked), len(shown))
        number = begin // size + 1
        if fault is not None and fault.name in ("page_fails", "page_repeats"):
            if number < int(fault.options.get("page", 2)):
                if fault.left is not None:  # not its turn yet
                    fault.left += 1
                fault.fired -= 1
            elif fault.name == "page_fails":
                raise gateway("EGW00002")
            else:
                begin = max(0, begin - size)
        found = shown[begin : begin + size]
        has_more = begin + size < len(shown)
        if fault is not None and fault.name == "one_row":
            found, has_more = found[:1], False
        header = (MIDDLE if asked else FIRST) if has_more else LAST if asked else ONLY
        search = f"{fields.get('CANO', '')}^{fields.get('INQR_STRT_DT', '')}"
        following = "" if not has_more else str(begin + size) if by_offset else key(found[-1])
        rows = _changed([row(one) for one in found], fault.name if fault else "", fault.options if fault else {})
        return Page(rows, header, search.ljust(KEY_LENGTH), following.ljust(KEY_LENGTH))


def _changed(rows: list[Row], name: str, options: dict[str, object]) -> list[Row]:
    """Return rows as a fault shows them."""
    number = str(options["number"]).zfill(KEY_DIGITS) if "number" in options else ""

    def is_meant(row: Row) -> bool:
        return number in ("", row.get("odno"))

    if name == "row_missing":
        return [row for row in rows if not is_meant(row)]
    if name == "row_doubled":
        return [row for row in rows for _ in range(2 if is_meant(row) else 1)]
    if name == "row_shrinks":
        return [
            _shrunk(row, str(options.get("qty", row.get("tot_ccld_qty")))) if is_meant(row) else row for row in rows
        ]
    return rows


def _shrunk(row: Row, qty: str) -> Row:
    """Return a row that says its order was for no more than ``qty``, and is complete."""
    if "ord_qty" not in row or int(row["ord_qty"]) <= int(qty):
        return row
    return {**row, "ord_qty": qty, "rmn_qty": "0"}


KEY_DIGITS = 10
