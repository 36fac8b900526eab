"""Notices of fills become reports; what they cannot prove is left to the books."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from qts.broker.kis.control import Registration
from qts.broker.kis.credentials import AccountNumber, KisAccess, Secret
from qts.broker.kis.known import KnownOrders, ref_of
from qts.broker.kis.notices import KisNotices
from qts.clock import NS_PER_S, ManualClock, from_ns
from qts.execution.contracts import BrokerDisconnect, ExecutionReport, Fill, OrderCancelled, OrderRejected
from qts.market.krx import krx_instrument
from qts.strategy.contracts import Side
from tests.doubles.kis.notices import encrypt

NOW_NS = 1_769_043_600 * NS_PER_S
"""10:00:00 of 22 January 2026 in Seoul."""
DAY = date(2026, 1, 22)
KEY, IV = "k" * 32, "i" * 16
FIELDS = {
    0: "someone",
    1: "1234567801",
    2: "0000117057",
    3: "",
    4: "02",
    5: "0",
    6: "00",
    7: "0",
    8: "005930",
    9: "4",
    10: "70000",
    11: "095959",
    12: "0",
    13: "2",
    14: "1",
    15: "06010",
    16: "10",
    17: "홍길동",
    19: "1",
}
"""A fill of 4 of 10 shares bought at 70,000, at 09:59:59."""


class Taking:
    """The notices of an account, and what they have published and told."""

    def __init__(self, hts_id: str = "someone", *, live: bool = True) -> None:
        self.published: list[ExecutionReport | BrokerDisconnect] = []
        self.told: list[str] = []
        self.asked = 0
        access = KisAccess(
            account="live" if live else "paper",
            number=AccountNumber("12345678", "01"),
            app_key=Secret("key"),
            app_secret=Secret("secret"),
            hts_id=Secret(hts_id),
            rest="",
            websocket="",
        )
        self.notices = KisNotices(
            access,
            {"005930": krx_instrument("005930")},
            KnownOrders(),
            ManualClock(from_ns(NOW_NS)),
            self.published.append,
            self.told.append,
        )
        self.notices.ask_books = self._ask

    def _ask(self) -> None:
        self.asked += 1

    def key(self) -> Taking:
        self.notices.on_cipher(Registration("H0STCNI0", "someone"), KEY, IV)
        return self

    def take(self, width: int = 26, **changes: str) -> None:
        self.notices.on_frame(f"0|H0STCNI0|001|{record(width, **changes)}", NOW_NS)

    @property
    def fills(self) -> list[Fill]:
        return [one for one in self.published if isinstance(one, Fill)]


def record(width: int = 26, **changes: str) -> str:
    """Return the fields of a notice; ``f9="6"`` sets field 9."""
    fields = {**FIELDS, **{int(name[1:]): text for name, text in changes.items()}}
    return "^".join(fields.get(place, "") for place in range(width))


class TestFills:
    def test_a_fill_names_its_order_by_the_number(self) -> None:
        """given 4 of 10 at 70,000, then the fee is 0.015 % of 280,000, and our id and that of the fill are open"""
        taking = Taking()
        taking.take()

        assert taking.fills == [
            Fill(
                broker="kis-live",
                execution_id="",
                client_order_id="",
                symbol="005930",
                side=Side.BUY,
                qty=Decimal(4),
                price=Decimal(70_000),
                fee=taking.fills[0].fee,
                tax=Decimal(0),
                ts_ns=NOW_NS - NS_PER_S,
                last=False,
                ref=ref_of(DAY, "117057"),
            )
        ]
        assert Decimal(30) <= taking.fills[0].fee <= Decimal(50)

    def test_the_one_that_completes_the_order_is_the_last(self) -> None:
        taking = Taking()
        taking.take()
        taking.take(f9="6", f11="100000")

        assert [(fill.qty, fill.last) for fill in taking.fills] == [(Decimal(4), False), (Decimal(6), True)]

    def test_a_sale_has_its_tax(self) -> None:
        """given a sale of 280,000 won in 2026, then the tax is 0.20 %: 560 won"""
        taking = Taking()
        taking.take(f4="01")

        assert (taking.fills[0].side, taking.fills[0].tax) == (Side.SELL, Decimal(560))

    @pytest.mark.parametrize("width", [23, 26])
    def test_both_widths_are_read(self, width: int) -> None:
        taking = Taking()
        taking.take(width)

        assert len(taking.fills) == 1
        assert taking.told == []

    def test_another_width_is_told_once(self) -> None:
        taking = Taking()
        taking.take(27)
        taking.take(27, f11="100000")

        assert len(taking.fills) == 2
        assert len(taking.told) == 1

    def test_a_notice_counts_once_and_the_books_are_asked_about_its_copy(self) -> None:
        taking = Taking()
        taking.take()
        taking.take()

        assert len(taking.fills) == 1
        assert (taking.notices.repeated, taking.asked) == (1, 1)

    def test_no_more_is_booked_than_was_ordered(self) -> None:
        """given fills of 4 and 7 of an order of 10, then the second is left to the books"""
        taking = Taking()
        taking.take()
        taking.take(f9="7", f11="100000")

        assert [fill.qty for fill in taking.fills] == [Decimal(4)]
        assert taking.asked == 1

    def test_the_quantity_ordered_may_come_with_the_acceptance(self) -> None:
        taking = Taking()
        taking.take(f13="1", f9="10", f16="")
        taking.take(f9="11", f16="")

        assert taking.published == []
        assert taking.asked == 1

    def test_the_exchange_of_an_order_is_learnt(self) -> None:
        taking = Taking()
        taking.take(f19="4")

        assert len(taking.fills) == 1


class TestEnds:
    def test_a_cancel_of_all_that_is_left_ends_the_order(self) -> None:
        taking = Taking()
        taking.take()
        taking.take(f2="0000117060", f3="0000117057", f5="2", f13="1", f14="2", f9="6", f10="0", f11="100000")

        assert taking.published[1:] == [
            OrderCancelled("kis-live", "", "005930", NOW_NS, "cancelled", expired=False, ref=ref_of(DAY, "117057"))
        ]

    @pytest.mark.parametrize("qty", ["5", "", "7"])
    def test_a_cancel_of_another_quantity_is_left_to_the_books(self, qty: str) -> None:
        taking = Taking()
        taking.take()
        taking.take(f2="0000117060", f3="0000117057", f5="2", f13="1", f14="2", f9=qty, f11="100000")

        assert len(taking.published) == 1
        assert taking.asked == 1

    def test_an_order_whose_time_is_over_has_expired(self) -> None:
        taking = Taking()
        taking.take(f13="1", f14="3", f9="10")

        (ended,) = taking.published
        assert isinstance(ended, OrderCancelled)
        assert ended.expired
        assert ended.ref == ref_of(DAY, "117057")

    def test_a_refused_order_is_rejected(self) -> None:
        taking = Taking()
        taking.take(f12="1", f13="1")

        assert taking.published == [
            OrderRejected(
                "kis-live", "", "005930", NOW_NS - NS_PER_S, "KIS has refused it", ref=ref_of(DAY, "117057")
            )
        ]

    def test_a_refused_cancel_says_nothing_of_its_order(self) -> None:
        taking = Taking()
        taking.take(f3="0000117057", f2="0000117060", f5="2", f12="1", f13="1")

        assert taking.published == []
        assert taking.asked == 1

    def test_an_acceptance_is_no_report(self) -> None:
        taking = Taking()
        taking.take(f13="1")

        assert (taking.published, taking.asked) == ([], 0)


class TestCipher:
    def test_an_encrypted_notice_is_read(self) -> None:
        taking = Taking().key()
        taking.notices.on_frame(f"1|H0STCNI0|001|{encrypt(record(), KEY, IV)}", NOW_NS)

        assert len(taking.fills) == 1

    @pytest.mark.parametrize(
        ("body", "reason"),
        [
            ("not base64!", "cipher"),
            ("AAAA", "cipher"),
            ("A" * 64, "cipher"),
            ("", "cipher"),
            (encrypt(record(), "x" * 32, IV), "cipher"),
            (encrypt(record(f1="9999999901"), KEY, IV), "account"),
            (encrypt(record(f4="03"), KEY, IV), "content"),
            (encrypt(record(f9="x"), KEY, IV), "content"),
            (encrypt(record(f9=""), KEY, IV), "content"),
            (encrypt(record(f2=""), KEY, IV), "content"),
            (encrypt(record(f13="7"), KEY, IV), "content"),
            (encrypt("^".join(["x"] * 16), KEY, IV), "content"),
        ],
    )
    def test_what_cannot_be_used_is_counted_and_the_books_are_asked(self, body: str, reason: str) -> None:
        taking = Taking().key()
        taking.notices.on_frame(f"1|H0STCNI0|001|{body}", NOW_NS)

        assert taking.published == []
        assert taking.notices.refused == {reason: 1}
        assert taking.asked == 1
        assert len([text for text in taking.told if "cannot be used" in text]) == 1

    @pytest.mark.parametrize("frame", ["1|H0STCNI0", "0|H0STCNI0|000|x", "0|H0STCNI0|002|" + record(25)])
    def test_what_is_no_frame_is_counted(self, frame: str) -> None:
        taking = Taking().key()
        taking.notices.on_frame(frame, NOW_NS)

        assert taking.notices.refused == {"form": 1}

    def test_without_a_key_nothing_is_guessed(self) -> None:
        taking = Taking()
        taking.notices.on_frame(f"1|H0STCNI0|001|{encrypt(record(), KEY, IV)}", NOW_NS)

        assert taking.notices.refused == {"key": 1}
        assert taking.asked == 1

    def test_a_key_of_another_length_is_told(self) -> None:
        taking = Taking()
        taking.notices.on_cipher(Registration("H0STCNI0", "someone"), "short", IV)

        assert taking.notices.refused == {"key": 1}
        assert "short" not in " ".join(taking.told)


class TestLine:
    def test_a_lost_line_is_published_and_the_next_one_asks_the_books(self) -> None:
        taking = Taking()
        taking.notices.on_connected()
        asked_first = taking.asked
        taking.notices.on_lost("cut")
        taking.notices.on_connected()

        assert taking.published == [BrokerDisconnect("kis-live", "the websocket was lost: cut", NOW_NS)]
        assert (asked_first, taking.asked) == (0, 1)

    @pytest.mark.parametrize(("live", "name"), [(True, "H0STCNI0"), (False, "H0STCNI9")])
    def test_each_kind_of_account_has_its_own_name(self, live: bool, name: str) -> None:
        assert Taking(live=live).notices.registration == Registration(name, "someone")

    def test_without_an_hts_id_nothing_is_registered_for(self) -> None:
        taking = Taking(hts_id="")

        assert taking.notices.registration is None
        assert len(taking.told) == 1
