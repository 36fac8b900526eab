"""The table keeps the newest session info of each instrument, and knows nothing of a day that is not its own."""

from __future__ import annotations

from datetime import date
from decimal import Decimal as D

import pytest

from qts.errors import ContractError
from qts.market.session_info import (
    Designation,
    SessionInfo,
    SessionInfos,
    TradingStatus,
    tells_session_info,
)

MONDAY, TUESDAY = date(2026, 1, 19), date(2026, 1, 20)


def info(ts_ns: int = 1, day: date = MONDAY, **more: object) -> SessionInfo:
    return SessionInfo(symbol="005930", ts_ns=ts_ns, day=day, **more)  # type: ignore[arg-type]


def test_nothing_is_known_of_a_symbol_that_no_one_told() -> None:
    assert SessionInfos(is_told=True).of("005930", MONDAY) is None


@pytest.mark.parametrize("ts_ns", [5, 6])
def test_a_newer_info_takes_the_place_of_the_whole_older_one(ts_ns: int) -> None:
    infos = SessionInfos(is_told=True)
    infos.put(info(5, status=TradingStatus.HALTED, designations=frozenset({Designation.WARNING})))

    infos.put(info(ts_ns, status=TradingStatus.NORMAL))

    known = infos.of("005930", MONDAY)
    assert known is not None
    assert (known.status, known.designations) == (TradingStatus.NORMAL, None)


def test_an_older_info_that_comes_late_changes_nothing() -> None:
    infos = SessionInfos(is_told=True)
    infos.put(info(5, status=TradingStatus.HALTED))

    infos.put(info(4, status=TradingStatus.NORMAL))

    known = infos.of("005930", MONDAY)
    assert known is not None
    assert known.status is TradingStatus.HALTED


def test_on_the_next_day_nothing_is_known_until_it_is_told_again() -> None:
    infos = SessionInfos(is_told=True)
    infos.put(info(5, MONDAY, status=TradingStatus.NORMAL))

    assert infos.of("005930", TUESDAY) is None


def test_a_feed_declares_session_info_by_having_the_method() -> None:
    class Telling:
        def tell_session_info(self, on_info: object) -> None: ...

    assert tells_session_info(Telling())
    assert not tells_session_info(object())


@pytest.mark.parametrize(
    ("prices", "said"),
    [
        ({"base_price": D(0)}, "its base price is 0"),
        ({"low": D("NaN")}, "its low is NaN"),
        ({"high": D(-1)}, "its high is -1"),
        ({"low": D(101), "high": D(100)}, "its low 101 is above its high 100"),
    ],
)
def test_a_price_that_is_none_is_left_out_and_never_told(prices: dict[str, D], said: str) -> None:
    with pytest.raises(ContractError, match=said):
        info(**prices)


def test_the_base_prices_of_a_day_are_those_that_were_told_for_it() -> None:
    infos = SessionInfos(is_told=True)
    infos.put(info(5, MONDAY, base_price=D(50_000)))
    infos.put(SessionInfo(symbol="000660", ts_ns=5, day=TUESDAY, base_price=D(200_000)))
    infos.put(SessionInfo(symbol="035720", ts_ns=5, day=TUESDAY))

    assert infos.bases(MONDAY) == {"005930": D(50_000)}
    assert infos.bases(TUESDAY) == {"000660": D(200_000)}
