"""The exchange's random stream: what is exported at any moment goes on with the same numbers."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from qts.broker.sim.checkpoint import CountedRandom


@given(st.integers(0, 2_500), st.integers(0, 2_500), st.integers(0, 99))
def test_an_exported_stream_goes_on_where_it_stood(before: int, between: int, seed: int) -> None:
    plain, stream = random.Random(seed), CountedRandom(random.Random(seed))
    assert [stream.random() for _ in range(before)] == [plain.random() for _ in range(before)]

    other = CountedRandom(random.Random(0))
    other.import_state(stream.export_state())

    assert other.export_state() == stream.export_state()
    expected = [plain.random() for _ in range(between)]
    assert [other.random() for _ in range(between)] == expected
    assert [stream.random() for _ in range(between)] == expected, "exporting changes nothing"
    assert other.export_state() == stream.export_state(), "the place in the stream alone decides"
