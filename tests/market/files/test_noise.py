"""Prices and sizes that went through binary floats are put on the decimal grid, and a note names it."""

from __future__ import annotations

from decimal import Decimal as D
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qts.market.contracts import Quote
from qts.market.files.feed_opener import open_feed
from qts.market.files.noise import denoised
from qts.notes import in_english

HEADER = "ts,symbol,bid,ask,bid_size,ask_size"


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("2310.4799999999996", "2310.48"),
        ("100.30000000000001", "100.3"),
        ("0.30000000000000004", "0.3"),
        ("999.9999999999999", "1000"),
        ("1.2299999999999998e-05", "0.0000123"),
    ],
)
def test_noise_is_taken_away(text: str, clean: str) -> None:
    assert denoised(text) == clean


@pytest.mark.parametrize(
    "text",
    [
        "2310.48",
        "10.042030305146735",  # a full float, near no short decimal
        "2310.4799999999",  # thirteen digits: written by a person
        "123456789.00000001",  # eight decimals are a grid
        "123456789012345.00000001",
        "0.123456789012345678",  # eighteen digits: no float writes them
        "100.30000000000100",  # too far off for noise
        "nan",
        "no number at all",
        "",
    ],
)
def test_everything_else_stays_what_it_was(text: str) -> None:
    assert denoised(text) == text


@given(st.integers(1, 10**9))
def test_a_float_that_was_computed_is_the_decimal_it_was_meant_to_be(cents: int) -> None:
    """Given an amount in cents, when a float has been multiplied and divided, then the cents come back."""
    through = cents / 100 * 3 / 3
    assert D(denoised(repr(through))) == D(cents) / 100


@given(st.integers(1, 10**15), st.integers(0, 8))
def test_numbers_of_eight_decimals_are_never_touched(unscaled: int, decimals: int) -> None:
    text = f"{D(unscaled).scaleb(-decimals):f}"
    assert denoised(text) == text


def written(path: Path, *rows: str) -> Path:
    path.write_text("\n".join([HEADER, *(f"2026-01-23T00:00:0{n}+00:00,{row}" for n, row in enumerate(rows)), ""]))
    return path


def test_a_noisy_file_gets_the_grid_it_was_written_from_and_says_so(tmp_path: Path) -> None:
    """Given noise in prices and full floats as sizes, then tick 0.01, lot 0.00000001, and two notes."""
    path = written(
        tmp_path / "noisy.csv",
        "ETHKRW,2310.4799999999996,2310.49,10.042030305146735,9.457884745118275",
        "ETHKRW,2310.49,2310.5,6.376512901022281,14.215685779980056",
    )
    feed = open_feed(path)
    first = next(feed.values())
    instrument = feed.instruments["ETHKRW"]

    assert isinstance(first, Quote)
    assert (str(first.bid), str(first.bid_size)) == ("2310.48", "10.042030305146735")
    assert (instrument.ticks.tick(D(1), None), instrument.lot) == (D("0.01"), D("0.00000001"))  # type: ignore[arg-type]
    assert [in_english(note) for note in feed.notes[:2]] == [
        "input: 1 of 8 prices and sizes in the first 2 rows carry binary noise; such numbers are put on the "
        "decimal grid, e.g. line 2: 2310.4799999999996 is taken for 2310.48",
        "input: sizes of ETHKRW are binary floats without a grid, e.g. line 2: 10.042030305146735; its lot is "
        "taken to be 0.00000001",
    ]


def test_a_clean_file_says_nothing_and_is_read_as_it_stands(tmp_path: Path) -> None:
    path = written(tmp_path / "clean.csv", "ETHKRW,2310.48,2310.49,10.04203031,0.00000001")
    feed = open_feed(path)

    assert not any("noise" in note.code or "floats" in note.code for note in feed.notes)
    assert next(feed.values()).bid_size == D("10.04203031")  # type: ignore[union-attr]
    assert feed.instruments["ETHKRW"].lot == D("0.00000001")


def test_a_resumed_feed_says_it_once(tmp_path: Path) -> None:
    path = written(
        tmp_path / "noisy.csv",
        "ETHKRW,2310.4799999999996,2310.49,1,1",
        "ETHKRW,2310.4699999999998,2310.49,1,1",
    )
    begun = open_feed(path)
    next(begun.values())
    resumed = open_feed(path)
    resumed.resume(begun.position())

    assert next(resumed.values()).bid == D("2310.47")  # type: ignore[union-attr]
    assert resumed.notes == begun.notes
    assert sum("noise" in note.code for note in resumed.notes) == 1
