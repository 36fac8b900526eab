"""What is remembered about a broker's books is bounded: of more than a thousand the oldest is forgotten."""

from __future__ import annotations

from decimal import Decimal as D

from msgspec.structs import replace

from qts.broker.contracts import BrokerOrder, BrokerOrderState
from qts.execution.contracts import Fill, VenueRef
from qts.runtime.orders.foreign_fills import ForeignFills
from qts.runtime.orders.order_warnings import OrderWarnings
from qts.runtime.orders.unannounced_fills import UnannouncedFills
from qts.runtime.orders.untold_fills import UntoldFills
from qts.strategy.contracts import Side
from tests.broker.scripted import DAY
from tests.ledger.book import account
from tests.runtime.rig import SYMBOL, kst

MOST = 1_000


def fill(number: int) -> Fill:
    return Fill("b", f"x{number}", f"o{number}", SYMBOL, Side.BUY, D(1), D(100), D(0), D(0), kst(10), False)


def row(number: int, filled: int, *earlier: VenueRef) -> BrokerOrder:
    ref, state = VenueRef(DAY, str(number), "v"), BrokerOrderState.OPEN
    made = BrokerOrder(None, ref, SYMBOL, Side.BUY, D(10), D(filled), state, amount=D(100 * filled))
    return replace(made, earlier=earlier)


def foreign() -> ForeignFills:
    return ForeignFills(account(), "b", 0, lambda ref: False)


def test_of_a_thousand_and_one_quantities_that_no_notice_told_the_oldest_is_forgotten() -> None:
    untold = UntoldFills()
    for number in range(MOST + 1):
        untold.note(f"o{number}", D(1), kst(10))

    assert not untold.was_read("o0", fill(0))
    assert untold.was_read("o1", fill(1))
    assert untold.was_read("o1000", fill(1_000))


def test_of_a_thousand_and_one_executions_without_a_notice_the_oldest_is_forgotten() -> None:
    codes: list[str] = []
    unannounced = UnannouncedFills("b", lambda code, text: codes.append(f"{code} {text}"))
    unannounced.found([fill(number) for number in range(MOST + 1)], kst(10))

    unannounced.check(kst(10, 0, 2))

    (said,) = codes
    assert said.startswith("AN030 no notices come from b")
    assert said.endswith(f"its books have told 1,000 executions: x1 of {SYMBOL}, x2 of {SYMBOL}, x3 of {SYMBOL}")


def test_of_a_thousand_and_one_warnings_the_oldest_is_forgotten_and_may_be_said_again() -> None:
    said: list[str] = []
    warnings = OrderWarnings("b", 0, say=said.append, on_code=lambda code, text: None)
    for number in range(MOST + 1):
        warnings.warn(f"o{number}", "look at it")
    assert len(said) == MOST + 1

    warnings.warn("o1", "look at it")
    assert len(said) == MOST + 1, "it is remembered that it was said"
    warnings.warn("o0", "look at it")
    assert len(said) == MOST + 2


def test_of_a_thousand_and_one_orders_of_others_in_the_opening_the_oldest_is_forgotten() -> None:
    fills = foreign()
    fills.begin([row(number, 1) for number in range(MOST + 1)], kst(10))

    before = fills.export_state()["before"]
    assert (len(before), before[0][0], before[-1][0]) == (MOST, f"{DAY}/1", f"{DAY}/1000")


def test_an_order_of_others_of_which_nothing_was_executed_is_not_in_the_opening() -> None:
    fills = foreign()
    fills.begin([row(1, 0), row(2, 4)], kst(10))

    assert fills.export_state()["before"] == [[f"{DAY}/2", D(4), D(400)]]


def test_without_a_known_opening_the_first_reading_is_it() -> None:
    """Four shares show in the first reading and are not booked; the three that follow are, in two readings."""
    fills = foreign()

    assert list(fills.inferred([row(1, 4)], kst(10))) == []
    assert list(fills.inferred([row(1, 7)], kst(10, 0, 3))) == []
    (found,) = fills.inferred([row(1, 7)], kst(10, 0, 5))

    assert (found.execution_id, found.qty, found.price) == (f"{DAY}/1/7", D(3), D(100))


def test_of_a_thousand_and_one_changed_orders_of_others_the_oldest_number_is_forgotten() -> None:
    fills = foreign()
    first = [VenueRef(DAY, f"first {number}", "v") for number in range(MOST + 1)]
    fills.inferred([row(number, 0, first[number]) for number in range(MOST + 1)], kst(10))

    numbers = fills.export_state()["first"]
    assert (len(numbers), numbers[0]) == (MOST, (f"{DAY}/1", f"{DAY}/first 1"))
