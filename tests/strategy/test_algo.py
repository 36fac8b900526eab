"""How a strategy asks for an execution in parts, and what is no such thing."""

from __future__ import annotations

from decimal import Decimal as D
from typing import Any

import msgspec
import pytest

from qts.errors import ContractError
from qts.kit import IOC, Algo, Intent, Side, Target
from qts.strategy.algo import AlgoKind


def test_each_algorithm_has_its_numbers() -> None:
    assert (Algo.twap("30m").over_ns, Algo.twap("90s", 3).slices) == (1_800_000_000_000, 3)
    assert Algo.vwap("1h", profile=(D(2), D(1))).profile == (D(2), D(1))
    assert (Algo.iceberg(100).shown, Algo.iceberg(100).over_ns) == (D(100), 0)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Algo.twap("1d"),
        lambda: Algo.twap("soon"),
        lambda: Algo.twap("1000t"),
        lambda: Algo.twap("30m", 0),
        lambda: Algo.twap("30m", 1001),
        lambda: Algo(AlgoKind.TWAP),
        lambda: Algo(AlgoKind.ICEBERG, "30m", shown=5),
        lambda: Algo(AlgoKind.ICEBERG),
        lambda: Algo.iceberg(0),
        lambda: Algo(AlgoKind.TWAP, "30m", shown=5),
        lambda: Algo(AlgoKind.TWAP, "30m", profile=(D(1),)),
        lambda: Algo.vwap("30m", 3, (D(1), D(2))),
        lambda: Algo.vwap("30m", profile=(D(0), D(0))),
        lambda: Algo.vwap("30m", profile=(D(1), D(-1))),
        lambda: Algo.vwap("30m", profile=(D("NaN"),)),
    ],
)
def test_what_no_algorithm_can_do_is_refused(make: Any) -> None:
    with pytest.raises(ContractError):
        make()


def test_an_intent_and_a_target_carry_it_and_a_checkpoint_keeps_it() -> None:
    algo = Algo.vwap("30m", profile=(D("0.5"), D("0.5")))
    intent, target = Intent("005930", Side.BUY, 0.9, 100, algo=algo), Target("005930", 100, algo=algo)

    assert msgspec.convert(msgspec.to_builtins(intent), Intent, strict=False) == intent
    assert msgspec.convert(msgspec.to_builtins(target), Target, strict=False) == target


@pytest.mark.parametrize(
    "make",
    [
        lambda: Intent("005930", Side.BUY, 0.9, 100, algo="vwap"),
        lambda: Intent("005930", Side.BUY, 0.9, 100, tif=IOC, algo=Algo.twap("5m")),
        lambda: Intent("005930", Side.BUY, 0.9, 100, trigger=5, algo=Algo.twap("5m")),
        lambda: Target("005930", 100, tif=IOC, algo=Algo.twap("5m")),
    ],
)
def test_only_an_order_that_works_at_once_all_day_is_executed_in_parts(make: Any) -> None:
    with pytest.raises(ContractError):
        make()
