"""Texts of a broker: what cannot be kept as it came is kept as escapes, and never without bound."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qts.execution.contracts import AckStatus, BrokerDisconnect, OrderAck, OrderCancelled, VenueRef
from qts.execution.texts import MAX_REASON_LENGTH, kept_ack, kept_text, unreadable_end, with_kept_reason

DAY = date(2026, 1, 22)


@given(st.text(st.characters(exclude_categories=[]), max_size=2_000))
def test_every_text_becomes_one_that_every_file_can_hold(text: str) -> None:
    kept = kept_text(text)

    kept.encode()
    assert len(kept) <= MAX_REASON_LENGTH
    assert not any(ord(char) < 32 for char in kept)
    assert kept_text(kept) == kept


def test_what_people_write_stays_as_it_is() -> None:
    for text in (
        "",
        "잔고 부족 (주문가능금액 1,000원)",
        "no such price: 75,050",
        "naïve — “quoted” …",
        "수량　초과",
    ):
        assert kept_text(text) == text


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("half \ud800 a pair", "half \\ud800 a pair"),
        ("two\nlines\x1b[2J\0", "two\\nlines\\x1b[2J\\x00"),
        (None, "None"),
        (b"bytes", "b'bytes'"),
        ("x" * 1_000_000, "x" * (MAX_REASON_LENGTH - 1) + "…"),
    ],
)
def test_what_is_kept_instead(text: object, kept: str) -> None:
    assert kept_text(text) == kept


def test_a_report_that_can_be_kept_is_the_same_object() -> None:
    report, ack = (
        OrderCancelled("sim", "o-1", "005930", 1, "why"),
        OrderAck(AckStatus.ACCEPTED, "o-1", VenueRef(DAY, "b-1", "KRX")),
    )

    assert with_kept_reason(report) is report
    assert kept_ack(ack) is ack
    ref = VenueRef(DAY, "b\ud800", "K\n", "\0")
    assert kept_ack(OrderAck(AckStatus.REJECTED, "o-1", ref, "no\n")) == OrderAck(
        AckStatus.REJECTED, "o-1", VenueRef(DAY, "b\\ud800", "K\\n", "\\x00"), "no\\n"
    )


@pytest.mark.parametrize(
    ("report", "why"),
    [
        (OrderCancelled("sim", "o-1", "005930", 1, "\ud800"), ""),
        (OrderCancelled("sim", "o\ud800", "005930", 1, ""), "client_order_id"),
        (OrderCancelled("sim", "o-1", "", 1, ""), "symbol"),
        (OrderCancelled("sim", "o-1", "005930", -1, ""), "its time"),
        (BrokerDisconnect("x" * 1_000, "", 1), "broker"),
        (BrokerDisconnect("sim", "", 1), ""),
    ],
)
def test_a_report_without_a_usable_id_or_moment(report: OrderCancelled | BrokerDisconnect, why: str) -> None:
    reason = unreadable_end(report)

    assert reason.startswith(why)
    assert bool(reason) == bool(why)
