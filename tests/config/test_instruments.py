# ruff: noqa: E501 - a table of examples reads best with one example a line
"""Symbols in the configuration: by which rules they trade, and what does not fit."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from qts.config.instruments import InstrumentConfig, InstrumentsConfig
from qts.config.loader import LoadedConfig, examine
from qts.errors import ContractError

DAY = date(2026, 3, 2)


def instruments(directory: Path, text: str) -> InstrumentsConfig | list[str]:
    (directory / "instruments.yaml").write_text(text, encoding="utf-8")
    found = examine(directory, {}, {})
    if isinstance(found, LoadedConfig):
        return found.tree.instruments
    return [str(problem).replace(f"{directory}/", "") for problem in found]


def test_the_default_is_one_share_of_the_korean_market() -> None:
    (samsung,) = InstrumentsConfig().build().values()

    assert (samsung.symbol, samsung.currency, samsung.quantum, samsung.lot) == ("005930", "KRW", 1, 1)
    assert samsung.ticks.tick(Decimal(75_000), DAY) == 100
    assert samsung.calendar.name == "KRX"


def test_a_board_brings_its_own_taxes(tmp_path: Path) -> None:
    text = "symbols:\n  '005930': {market: KRX-KOSPI}\n  '069500': {market: KRX-ETF}\n  '247540': {market: KRX-KOSDAQ}\n"
    read = instruments(tmp_path, text)
    assert isinstance(read, InstrumentsConfig)

    taxes = {
        symbol: entry.costs.tax(Decimal(1_000_000), is_sell=True, day=DAY) for symbol, entry in read.build().items()
    }
    assert taxes == {"005930": 2_000, "069500": 0, "247540": 2_000}


def test_a_market_without_rules_of_its_own_takes_those_of_the_file(tmp_path: Path) -> None:
    read = instruments(
        tmp_path,
        "symbols:\n  BTCUSDT:\n    market: OPEN-24H\n    lot: 0.001\n    currency: USDT\n    quantum: 0.01\n"
        "    tick: 0.1\n    fee_rate: 0.0005\n    tax_rate: 0\n",
    )
    assert isinstance(read, InstrumentsConfig)

    bitcoin = read.build()["BTCUSDT"]
    assert (bitcoin.currency, bitcoin.quantum, bitcoin.lot) == ("USDT", Decimal("0.01"), Decimal("0.001"))
    assert bitcoin.ticks.tick(Decimal(60_000), DAY) == Decimal("0.1")
    assert bitcoin.costs.fee(Decimal(60_000), DAY) == Decimal(30)
    assert bitcoin.calendar.name == "24h"


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("'5930': {market: KRX-KOSPI}",
         ["instruments.symbols.5930: a KRX symbol has six digits or capital letters like 005930 or 0004V0, got '5930'; "
          "were leading zeros lost (in YAML write it in quotes: '005930')?"]),
        ("'005930': {market: KRX-KOSPI, lot: 0.5}", ["instruments.symbols.005930.lot: must be whole shares, got 0.5"]),
        ("'005930': {market: KRX-KOSPI, tick: 100}",
         ["instruments.symbols.005930.tick: must be left out: KRX-KOSPI brings its own, by date"]),
        ("X: {market: OPEN-24H, currency: USD, quantum: 0.01, tick: 0.01}",
         ["instruments.symbols.X.fee_rate: is needed for OPEN-24H",
          "instruments.symbols.X.tax_rate: is needed for OPEN-24H"]),
        ("X: {market: KRX-KOSPY}",
         ["instruments.symbols.X.market: 'KRX-KOSPY' is none of the values (did you mean KRX-KOSPI?); "
          "allowed: KRX-KOSPI, KRX-KOSDAQ, KRX-ETF or OPEN-24H"]),
        ("X: {market: OPEN-24H, currency: USD, quantum: 0, tick: 0, fee_rate: 1, tax_rate: -1}",
         ["instruments.symbols.X.fee_rate: '1' is out of range; allowed: number from 0 below 1 or null",
          "instruments.symbols.X.quantum: '0' is out of range; allowed: number above 0 to 1000000 or null",
          "instruments.symbols.X.tax_rate: '-1' is out of range; allowed: number from 0 below 1 or null",
          "instruments.symbols.X.tick: '0' is out of range; allowed: number above 0 to 1000000 or null"]),
    ],
)  # fmt: skip
def test_an_entry_that_does_not_fit_its_market_is_refused(tmp_path: Path, entry: str, expected: list[str]) -> None:
    found = instruments(tmp_path, f"symbols:\n  {entry}\n")

    assert found == [f"instruments.yaml:2: {line}" for line in expected]


def test_an_unquoted_code_is_refused_before_its_zeros_are_lost(tmp_path: Path) -> None:
    assert instruments(tmp_path, "symbols:\n  005930: {market: KRX-KOSPI}\n") == [
        "instruments.yaml:2: instruments.symbols.005930: as a key '005930' needs quotes to be text: write '005930'"
    ]


def test_building_without_the_rules_is_a_fault_that_names_them() -> None:
    with pytest.raises(ContractError, match="X: OPEN-24H needs currency, quantum, tick, fee_rate, tax_rate"):
        InstrumentConfig(market="OPEN-24H").build("X")
