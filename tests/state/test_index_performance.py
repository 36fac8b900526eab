"""The performance of an index can be stopped and continued anywhere."""

from __future__ import annotations

import msgspec
import pytest

from qts.state.index_performance import IndexPerformance


@pytest.mark.parametrize("stop", [1, 30, 31, 252, 253, 299])
def test_a_course_continues_where_it_was_exported(stop: int) -> None:
    closes = [100.0 + (number * 37 % 11) + number / 10 for number in range(300)]
    whole, first = IndexPerformance(), IndexPerformance()
    for number, close in enumerate(closes):
        whole.add(close)
        if number < stop:
            first.add(close)
    second = IndexPerformance()
    second.import_state(msgspec.msgpack.decode(msgspec.msgpack.encode(first.export_state())))
    for close in closes[stop:]:
        second.add(close)
    assert second.metrics(15.0) == whole.metrics(15.0)
    assert second.export_state() == whole.export_state()


def test_the_target_is_the_callers() -> None:
    performance = IndexPerformance(target_cagr=0.2)
    performance.add(100.0)
    assert performance.metrics(None).target_cagr == 0.2
    assert performance.metrics(None).vix is None
