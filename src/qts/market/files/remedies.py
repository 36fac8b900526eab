"""Remedies for a row that cannot be used, where its text shows one: a code, its parameter and its sentence."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

from qts.market.files import refusals as row

SENTENCES: Final[Mapping[str, str]] = {
    "": "",
    "epoch": "it looks like a count since 1970: --date-format {}",
    "serial": "it looks like a spreadsheet's serial number: --date-format excel --timezone Asia/Seoul",
    "day_first": "the day is first: --date-format %d/%m/%Y",
    "month_first": "the month is first: --date-format %m/%d/%Y",
    "which_first": "name the order: --date-format %d/%m/%Y or --date-format %m/%d/%Y",
    "naive": "name the time zone: --timezone Asia/Seoul (or another zone)",
    "thousands": "leave out the thousands separators",
    "comma": "write a decimal point, no decimal comma",
    "zeros": "its leading zeros are lost: {}; keep the column as text",
    "six": "a Korean code has six characters",
    "won": (
        "an account in won trades Korean shares; for anything else write its rules into instruments.yaml (market "
        "OPEN-24H with currency, quantum, tick, fee_rate, tax_rate), or set the account's currency: "
        "--set runtime.currency=USD"
    ),
    "currency": "one account has one currency, and this symbol is traded in {}",
    "encoding": "it seems to be {} (Korean): --encoding {}",
    "sort": "sort the file by time",
    "tell_apart": "if it is a row of its own, add a column id (or seq) that distinguishes it",
    "empty": "the cell is empty",
}
"""The sentence of every code; ``{}`` stands for its parameter."""

_EPOCHS: Final = {10: "epoch_s", 13: "epoch_ms", 16: "epoch_us", 19: "epoch_ns"}
_SERIAL: Final = re.compile(r"[1-9][0-9]{4}(\.[0-9]+)?", re.ASCII)
_SLASHED: Final = re.compile(r"([0-9]{1,2})[/.-]([0-9]{1,2})[/.-]([0-9]{4})", re.ASCII)
_CODE_LENGTH: Final = 6
KOREAN_WINDOWS: Final = "cp949"


def sentence_of(remedy: str, sentences: Mapping[str, str] = SENTENCES) -> str:
    """Return the sentence of ``remedy``, which is a code or ``code:parameter``."""
    code, _, parameter = remedy.partition(":")
    return sentences[code].replace("{}", parameter)


def remedy_for(reason: str, value: str) -> str:
    """Return the remedy for ``value``, which was refused for ``reason``; "" where the text does not show one."""
    find = _REMEDIES.get(reason)
    return "" if find is None else find(value)


def refusals_text(refused: row.Refusals) -> str:
    """Return, for one line of an error message, the reasons by count and everything about the first refused row."""
    first = refused.first()
    if first is None:
        return "no line holds a value"
    reason, example = first
    parts = ", ".join(f"{reason} {count}" for reason, count in sorted(refused.counts.items()))
    column = f", column {example.column}" if example.column else ""
    remedy = f"; {sentence_of(example.remedy)}" if example.remedy else ""
    return (
        f"refused: {parts}; line {example.line}{column}: {example.value!r}, {row.REASONS[reason]}; "
        f"allowed: {row.ALLOWED[reason]}{remedy}"
    )


def time_remedy(value: str) -> str:
    """Return the remedy for a time that cannot be read."""
    if value.isdigit() and len(value) in _EPOCHS:
        return f"epoch:{_EPOCHS[len(value)]}"
    if _SERIAL.fullmatch(value):
        return "serial"
    slashed = _SLASHED.match(value)
    if slashed is not None:
        first, second = int(slashed[1]), int(slashed[2])
        if first > 12 >= second:
            return "day_first"
        return "month_first" if second > 12 >= first else "which_first"
    try:
        return "naive" if datetime.fromisoformat(value).tzinfo is None else ""
    except ValueError:
        return ""


def seems_encoded_as(line: bytes) -> str:
    """Return the encoding that ``line``, which is no UTF-8, seems to have: "cp949", or "" for none we know."""
    try:
        text = line.decode("cp949")
    except UnicodeDecodeError:
        return ""
    return KOREAN_WINDOWS if any("가" <= char <= "힣" for char in text) else ""


def encoding_remedy(line: bytes) -> str:
    """Return the remedy for a line that is no UTF-8."""
    seems = seems_encoded_as(line)
    return f"encoding:{seems}" if seems else ""


def _not_a_number(value: str) -> str:
    if re.fullmatch(r"-?[0-9]{1,3}(,[0-9]{3})+(\.[0-9]*)?", value):
        return "thousands"
    return "comma" if re.fullmatch(r"-?[0-9]+,[0-9]+", value) else ""


def _unknown_symbol(value: str) -> str:
    if not value.isdigit():
        return "won"
    return f"zeros:{value.zfill(_CODE_LENGTH)}" if len(value) < _CODE_LENGTH else "six"


_REMEDIES: Final[Mapping[str, Callable[[str], str]]] = {
    row.BAD_TIME: time_remedy,
    row.NOT_A_NUMBER: _not_a_number,
    row.UNKNOWN_SYMBOL: _unknown_symbol,
    row.TIME_BACKWARDS: lambda _: "sort",
    row.DUPLICATE: lambda _: "tell_apart",
}
