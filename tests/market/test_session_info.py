"""The table keeps the newest session info of each instrument, and knows nothing of a day that is not its own."""

from __future__ import annotations

from datetime import date

import pytest

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
