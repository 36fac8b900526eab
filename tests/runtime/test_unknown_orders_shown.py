"""What people are shown of an order whose fate is unknown: questions, money held back, what is blocked."""

from __future__ import annotations

from decimal import Decimal as D
from pathlib import Path

from qts.clock import SystemClock
from qts.db.contracts import RunRow
from qts.execution.contracts import AckStatus
from qts.market.contracts import Quote
from qts.notes import in_english, in_korean
from qts.runtime.orders.unknown_view import UnknownOrderView, note_of
from qts.runtime.session.session_view import SessionView
from qts.runtime.session.view_builder import view_of
from qts.strategy.contracts import Side
from tests.broker.scripted import ScriptedBroker
from tests.runtime.live_rig import LiveRig, live
from tests.runtime.rig import SYMBOL, ScriptedStrategy, kst

RUN = RunRow("rig", "run", 7, "script", "", "2026-01-22T00:00:00+00:00", False)


def shown(rig: LiveRig, ended: str = "") -> SessionView:
    return view_of(rig.kernel, RUN, "paper", ended, SystemClock())


def quote(at_ns: int) -> Quote:
    return Quote(SYMBOL, at_ns, D(150_000), D(150_100), D(10_000), D(10_000))


async def test_an_unknown_order_is_shown_with_its_questions_and_what_it_holds_back(tmp_path: Path) -> None:
    # Given a buy of 10 at most 150,000 whose answer says nothing, at a broker that cannot be asked
    broker = ScriptedBroker()
    broker.answer = AckStatus.UNKNOWN
    scripted = ScriptedStrategy()
    async with live(tmp_path, strategies=[scripted], settings={}, broker=broker) as rig:
        await rig.show(quote(kst(10)))
        assert shown(rig).unknown_orders == ()
        scripted.wants(Side.BUY, qty=10, limit=150_000)
        await rig.show(quote(kst(10, 0, 1)))
        broker.is_up = False
        # When it was asked about twice, a second apart
        unresolved = rig.kernel.unresolved
        before = unresolved.questions_about(broker.placed[0].request.client_order_id)
        for second in (2, 3):
            rig.clock.set_ns(kst(10, 0, second))
            await unresolved.resolve(rig.clock.time_ns())
        # Then the view has the order, its questions, the money of 10 × 150,000 and the fee of 15 and what follows
        view = shown(rig)
        (one,) = view.unknown_orders
        assert (one.side, one.qty, one.limit, one.symbol) == ("BUY", 10, 150_000, SYMBOL)
        assert (one.asked, one.next_s, one.currency) == (before + 2, 1.0, "KRW")
        (held,) = rig.kernel.shared.account.open_reservations
        assert (one.cash, one.shares) == (held.cash, 0)
        assert one.cash >= 1_500_000
        # And it is among the notes, in both languages
        (note,) = [note for note in view.note_values if note.code == "order-unknown"]
        assert in_english(note) in view.notes
        # And half a second later the next question is half a second away
        rig.clock.set_ns(kst(10, 0, 3.5))
        assert shown(rig).unknown_orders[0].next_s == 0.5
        (last,) = [note for note in shown(rig, "stopped").note_values if note.code.startswith("order-unknown")]
        assert last.code == "order-unknown-at-end"


def test_the_sentence_says_it_in_both_languages() -> None:
    ten, none = D(10), D(0)
    price, cash = D(150_000), D(1_500_225)
    buy = UnknownOrderView("o-7", "one", SYMBOL, "BUY", ten, none, price, 1, 3, 0.8, cash, none, "KRW")
    assert in_english(note_of(buy, ended=False)) == (
        "the fate of order o-7 (BUY 10 005930 at 150,000) is unknown: the broker was asked 3 times, the next "
        "question in 0.8 s; 1,500,225 KRW held back, and no other BUY of 005930 leaves meanwhile"
    )
    assert in_korean(note_of(buy, ended=False)) == (
        "결과 미확인 주문: o-7(005930 10주 지정가 150,000 매수) — 증권사에 3회 조회했고, 다음 조회는 0.8초 "
        "뒤입니다. 1,500,225 KRW가 묶여 있으며, 확인될 때까지 005930의 다른 매수 주문은 나가지 않습니다."
    )
    sale = UnknownOrderView("o-8", "one", SYMBOL, "SELL", ten, none, None, 1, 1, 0.0, none, ten, "KRW")
    assert in_english(note_of(sale, ended=False)) == (
        "the fate of order o-8 (SELL 10 005930 at the market) is unknown: the broker was asked 1 time, the next "
        "question is under way; 10 005930 held back, and no other SELL of 005930 leaves meanwhile"
    )
    assert in_korean(note_of(sale, ended=True)) == (
        "결과 미확인 주문: o-8(005930 10주 시장가 매도) — 끝날 때까지 확인되지 않았습니다(증권사 조회 1회). "
        "005930 10주가 묶여 있으며, 재개한 세션이 확인할 때까지 005930의 다른 매도 주문은 나가지 않습니다."
    )
