"""The rules of single symbols, file ``config/instruments.yaml``: they stand before what a recorded file shows.

The numbers of the Korean market (grid, limits, costs, sessions) are dated data of :mod:`qts.market.krx`; here
a symbol only names its board. A symbol without an entry goes by what the format of its file brings.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from qts.errors import ContractError
from qts.market.contracts import Instrument
from qts.market.generic import AlwaysOpen, FixedTicks, RateCosts
from qts.market.krx import check_symbol, krx_instrument

RELOADABLE: Final[frozenset[str]] = frozenset()
"""Nothing: what an instrument is may not change under orders that were approved for it."""

Market = Literal["KRX-KOSPI", "KRX-KOSDAQ", "KRX-ETF", "OPEN-24H"]
_KRX: Final = "KRX-"
_OWN_RULES: Final = ("currency", "quantum", "tick", "fee_rate", "tax_rate")


class InstrumentConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One symbol. The last five belong to OPEN-24H alone; a KRX board brings its own, by date."""

    market: Annotated[Market, Meta(description="board whose rules apply; OPEN-24H never closes")]
    lot: Annotated[Decimal, Meta(gt=0, le=1_000_000, description="units; quantities are multiples of it")] = (
        Decimal(1)
    )
    name: Annotated[str, Meta(max_length=100, description="for people")] = ""
    name_ko: Annotated[
        str,
        Meta(max_length=100, description="for people, in Korean; empty: the name above", extra={"display": True}),
    ] = ""
    currency: Annotated[str, Meta(pattern="^[A-Z]{3,5}$", description="what it is paid in")] | None = None
    quantum: Annotated[Decimal, Meta(gt=0, le=1_000_000, description="smallest amount of the currency")] | None = (
        None
    )
    tick: Annotated[Decimal, Meta(gt=0, le=1_000_000, description="grid step of the price")] | None = None
    fee_rate: Annotated[Decimal, Meta(ge=0, lt=1, description="share of the amount, both sides")] | None = None
    tax_rate: Annotated[Decimal, Meta(ge=0, lt=1, description="share of the amount, sales")] | None = None

    def build(self, symbol: str) -> Instrument:
        """Return the instrument. Raises ContractError for a symbol its market lacks or a missing rule."""
        if self.market.startswith(_KRX):
            instrument = krx_instrument(symbol, self.market.removeprefix(_KRX))
            return msgspec.structs.replace(instrument, lot=self.lot, name=self.name, name_ko=self.name_ko)
        currency, quantum, tick, fee, tax = self.currency, self.quantum, self.tick, self.fee_rate, self.tax_rate
        if currency is None or quantum is None or tick is None or fee is None or tax is None:
            raise ContractError(f"{symbol}: {self.market} needs {', '.join(_OWN_RULES)}")
        return Instrument(
            symbol=symbol,
            currency=currency,
            quantum=quantum,
            lot=self.lot,
            ticks=FixedTicks(tick),
            costs=RateCosts(fee, tax, quantum),
            calendar=AlwaysOpen(),
            name=self.name,
            name_ko=self.name_ko,
        )

    def problems(self, symbol: str) -> list[tuple[str, str]]:
        """Return what does not fit the market, as (field, message); the field is empty for the symbol itself."""
        if not self.market.startswith(_KRX):
            missing = [name for name in _OWN_RULES if getattr(self, name) is None]
            return [(name, f"is needed for {self.market}") for name in missing]
        given = [name for name in _OWN_RULES if getattr(self, name) is not None]
        found = [(name, f"must be left out: {self.market} brings its own, by date") for name in given]
        if self.lot != self.lot.to_integral_value():
            found.append(("lot", f"must be whole shares, got {self.lot}"))
        try:
            check_symbol(symbol)
        except ContractError as error:
            found.append(("", str(error)))
        return found


class InstrumentsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The table of symbols; what a file gives replaces it as a whole."""

    symbols: Annotated[
        Mapping[Annotated[str, Meta(min_length=1, max_length=32)], InstrumentConfig],
        Meta(
            max_length=10_000,
            description="rules by symbol, digits in quotes: '005930'; "
            "OPEN-24H also needs currency, quantum, tick, fee_rate, tax_rate",
        ),
    ] = msgspec.field(
        default_factory=lambda: {
            "005930": InstrumentConfig(market="KRX-KOSPI", name="Samsung Electronics", name_ko="삼성전자")
        }
    )

    costs: Annotated[
        Decimal | None,
        Meta(
            ge=0,
            lt=1,
            description="share of the amount that every fill costs, in place of the fees and taxes of the markets; "
            "empty: theirs, by date",
        ),
    ] = None

    def build(self) -> dict[str, Instrument]:
        """Return the instruments by symbol."""
        return {symbol: entry.build(symbol) for symbol, entry in self.symbols.items()}

    def problems(self) -> list[tuple[str, str]]:
        """Return what does not fit, as (dotted field, message)."""
        return [
            (f"symbols.{symbol}.{name}" if name else f"symbols.{symbol}", message)
            for symbol, entry in self.symbols.items()
            for name, message in entry.problems(symbol)
        ]
