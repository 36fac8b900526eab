"""Bodies of batches as a server takes them, and amounts whose written form a number does not keep."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple

import msgspec

from qts.db.batch import body_of, has_digest, rows_of, without_nul
from qts.db.tables import APPEND_ONLY, TRANSFERS, Table

_NUL_IN_JSON: Final = b"\\u0000"
_SIGNS: Final = (b"E+", b'"-0')
_FORM: Final = r"-?[0-9]+(?:\.[0-9]+)?E\+[0-9]+|-0(?:\.0+)?(?:E-?[0-9]+)?"
"""A number that is not written as its value is: with digits left out at the end, or with the sign of nothing."""
_FORM_IN_JSON: Final = re.compile(rf'"(?:{_FORM})"'.encode())
is_form: Final = re.compile(_FORM).fullmatch
"""Tells whether a text is such a number: a server keeps its value and not its form."""
_BY_NAME: Final[Mapping[str, Table]] = {table.name: table for table in APPEND_ONLY}


class Form(NamedTuple):
    """A number as it was written in a sealed row; ``place`` counts its columns from 0, ``id`` being the first."""

    of_table: str
    id: int
    place: int
    form: str


def sendable(body: bytes) -> str:
    """Return the body as the server takes it."""
    if _NUL_IN_JSON in body:
        rows = rows_of(body)
        body = body_of({name: [[_mapped(value) for value in row] for row in found] for name, found in rows.items()})
    return body.decode()


def forms_of(bodies: Sequence[bytes]) -> str | None:
    """Return the numbers of sealed rows that their values do not give back, as a JSON array; None for none."""
    forms: list[Form] = []
    for body in bodies:
        if any(sign in body for sign in _SIGNS) and _FORM_IN_JSON.search(body):
            forms += _forms_of(body)
    return msgspec.json.encode(forms).decode() if forms else None


def _forms_of(body: bytes) -> list[Form]:
    return [
        Form(name, row[0], place, value)
        for name, rows in rows_of(body).items()
        if has_digest(name)
        for row in rows
        for place, value in enumerate(row)
        if isinstance(value, str) and is_form(value)
    ]


def _mapped(value: Any) -> Any:
    return without_nul(value) if isinstance(value, str) else value


def written(table: Table, row: Sequence[Any]) -> list[Any]:
    """Return the values of a row as a body has them: amounts as texts."""
    form = "{:f}".format if table is TRANSFERS else str
    return [form(value) if isinstance(value, Decimal) else value for value in row]


def as_written(value: str, form: str) -> str:
    """Return ``form`` where it is how the number ``value`` was written; ``value`` where one of both was altered."""
    if not is_form(form):
        return value
    return form if plain(form) == f"{Decimal(value):f}" else value


def plain(form: str) -> str:
    """Return a number as a server writes it: with all its digits, nothing without a sign."""
    number = Decimal(form)
    return f"{number or number.copy_abs():f}"
