"""Average cost, realised result and late fills of one holding, worked by hand."""

from decimal import Decimal as D
from fractions import Fraction
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qts.errors import StateError, StorageError
from qts.ledger.closes import BookMarks
from qts.ledger.holding import Holding, fill_key


def book(*fills: tuple[int, str, str], quantum: str = "1") -> Holding:
    """Apply (time, signed quantity, price) in the order given."""
    holding = Holding(D(quantum))
    for ts, signed, price in fills:
        holding.apply(fill_key(ts, "sim", f"x-{ts}"), D(signed), D(price))
    return holding


def state(holding: Holding) -> tuple[D, D, D, D | None]:
    return holding.qty, holding.cost, holding.realized, holding.average_cost


def test_a_new_holding_is_flat_and_has_no_average() -> None:
    assert state(book()) == (0, 0, 0, None)


def test_buying_twice_averages_the_price() -> None:
    # 10 at 100 and 30 at 120: 4,600 for 40
    assert state(book((1, "10", "100"), (2, "30", "120"))) == (40, 4600, 0, 115)


def test_selling_a_part_realises_against_the_average_and_leaves_the_average() -> None:
    # 40 at 115; 10 leave at 130: (130 - 115) x 10 = 150
    assert state(book((1, "10", "100"), (2, "30", "120"), (3, "-10", "130"))) == (30, 3450, 150, 115)


def test_selling_everything_leaves_nothing() -> None:
    assert state(book((1, "10", "100"), (2, "-10", "90"))) == (0, 0, -100, None)


def test_a_short_holding_has_negative_cost_and_wins_when_the_price_falls() -> None:
    short = book((1, "-10", "100"))
    assert state(short) == (-10, -1000, 0, 100)
    assert short.value(D(90)) - short.cost == 100
    assert state(book((1, "-10", "100"), (2, "4", "90"))) == (-6, -600, 40, 100)


def test_selling_more_than_is_held_realises_the_part_held_and_opens_the_rest() -> None:
    # long 10 at 100; sell 15 at 120: 10 x 20 realised, short 5 at 120
    assert state(book((1, "10", "100"), (2, "-15", "120"))) == (-5, -600, 200, 120)


def test_buying_through_zero_turns_a_short_into_a_long() -> None:
    assert state(book((1, "-10", "100"), (2, "15", "120"))) == (5, 600, -200, 120)


def test_cost_is_whole_quanta_and_the_average_is_not_rounded_with_it() -> None:
    # 1 at 100, 2 at 101: 302 for 3. One leaves at 110: exact rest 201.333333, booked 201, realised 110 - 101
    holding = book((1, "1", "100"), (2, "2", "101"), (3, "-1", "110"))
    assert (holding.cost, holding.realized) == (201, 9)
    assert holding.average_cost == D("201.333333") / 2


def test_many_partial_sales_do_not_drift_from_the_exact_average() -> None:
    # 1,000 bought at 70,000 and 70,001 alternately cost 70,000,500: 70,000.5 each. 999 leave one by one.
    buys = [(i, "1", str(70_000 + i % 2)) for i in range(1000)]
    sells = [(1000 + i, "-1", "70000") for i in range(999)]
    holding = book(*buys, *sells)
    assert holding.qty == 1
    assert abs(holding.cost - D("70000.5")) < 1
    assert holding.cost == holding.cost.to_integral_value()
    assert holding.realized == 999 * 70_000 - (70_000_500 - holding.cost)


def test_half_quanta_go_to_the_even_one() -> None:
    # 2 for 5: half leaves 2.5 -> 2; 2 for 7: half leaves 3.5 -> 4
    assert book((1, "1", "2"), (2, "1", "3"), (3, "-1", "3")).cost == 2
    assert book((1, "1", "3"), (2, "1", "4"), (3, "-1", "4")).cost == 4


def test_the_quantum_of_the_currency_is_respected() -> None:
    # 3 at 1.00, 1.01, 1.01 = 3.02; one leaves: 2.01333 -> 2.01
    holding = book((1, "1", "1.00"), (2, "2", "1.01"), (3, "-1", "1.10"), quantum="0.01")
    assert (holding.cost, holding.realized) == (D("2.01"), D("0.09"))


def test_value_is_at_the_mark_or_at_cost_without_one() -> None:
    holding = book((1, "10", "100"))
    assert holding.value(D(105)) == 1050
    assert holding.value(None) == 1000


def test_a_late_fill_takes_its_place_and_says_so() -> None:
    late_first = Holding(D(1))
    assert late_first.apply(fill_key(3, "sim", "c"), D(-10), D(130)) is False
    assert late_first.apply(fill_key(1, "sim", "a"), D(10), D(100)) is True
    assert late_first.apply(fill_key(2, "sim", "b"), D(30), D(120)) is True
    assert state(late_first) == (30, 3450, 150, 115)
    assert late_first.ts_ns == 3


def test_counted_ids_of_one_moment_sort_by_their_number() -> None:
    assert fill_key(5, "sim", "x-9") < fill_key(5, "sim", "x-10")


@pytest.mark.parametrize(
    "order", list(permutations([(1, "10", "100"), (2, "-4", "130"), (3, "6", "90"), (4, "-15", "95")]))
)
def test_every_order_of_arrival_gives_the_same_holding(order: tuple[tuple[int, str, str], ...]) -> None:
    # 10@100 -> sell 4@130: +120, 6@100 left -> +6@90: 12 for 1,140 = 95 each -> sell 15@95: 0, short 3@95
    assert state(book(*order)) == (-3, -285, 120, 95)


FILLS = st.lists(
    st.tuples(st.integers(-50, 50).filter(bool), st.integers(1, 200_000)), min_size=1, max_size=30, unique=True
)


@given(FILLS, st.randoms(use_true_random=False))
def test_any_fills_in_any_order_agree_with_exact_fractions(fills: list[tuple[int, int]], random: object) -> None:
    numbered = [(i, str(qty), str(price)) for i, (qty, price) in enumerate(fills)]
    shuffled = list(numbered)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    holding = book(*shuffled)
    assert state(holding) == state(book(*numbered))
    qty, average = 0, Fraction(0)
    for change, price in fills:
        if qty * change >= 0:
            average = (qty * average + change * price) / (qty + change)
        elif qty * (qty + change) < 0:
            average = Fraction(price)
        qty += change
    assert holding.qty == qty
    assert abs(Fraction(holding.cost) - qty * average) < 1
    spent = sum(change * price for change, price in fills)
    assert holding.realized == holding.cost - spent


def test_a_fact_of_a_closed_day_is_refused_until_the_steps_of_then_are_there() -> None:
    # Given a holding whose first two fills are in its opening
    held = Holding(D(1))
    for number in (1, 2):
        held.apply(fill_key(number, "sim", str(number)), D(3), D(100 * number))
    held.begin_close()
    held.finish_close(BookMarks(2))

    # Then a fill between them has no place
    with pytest.raises(StateError, match="recall them first"):
        held.apply(fill_key(1, "sim", "9"), D(1), D(150))
    assert (held.qty, held.cost) == (6, 900)

    # And one behind them is added to the opening
    assert held.apply(fill_key(3, "sim", "3"), D(-6), D(200)) is False
    assert (held.qty, held.realized) == (0, 300)


def marked(number: int) -> BookMarks:
    return BookMarks(fills=number)


def test_a_close_lets_go_no_step_behind_a_late_fact() -> None:
    # Given steps at 1 and 3 that are noted for a close
    holding = Holding(D(1))
    for ts in (1, 3):
        holding.apply(fill_key(ts, "sim", str(ts), "o"), D(1), D(10))
    holding.begin_close()
    # When one at 2 comes before the close is stored
    holding.apply(fill_key(2, "sim", "2", "o"), D(1), D(10))
    holding.finish_close(marked(2))
    # Then only what is before it is let go: the rows of the close do not have it
    assert holding.opening is not None
    assert (holding.opening.key[0], holding.opening.qty) == (1, 1)
    assert [step.key[0] for step in holding.steps_of("o")] == [2, 3]
    assert (holding.qty, holding.marks) == (3, marked(2))


def test_a_close_is_not_finished_once_its_steps_were_read_again() -> None:
    # Given a closed step, and one behind it that is noted for the next close
    holding, whole = Holding(D(1)), Holding(D(1))
    for one in (holding, whole):
        one.apply(fill_key(1, "sim", "1", "o"), D(1), D(10))
    holding.begin_close()
    holding.finish_close(marked(1))
    holding.apply(fill_key(3, "sim", "3", "o"), D(1), D(10))
    holding.begin_close()
    # When the closed one is read again before that close is stored
    holding.recall(whole)
    holding.finish_close(marked(2))
    # Then all stay in memory
    assert holding.opening is None
    assert [step.key[0] for step in holding.steps_of("o")] == [1, 3]


def test_a_store_without_any_row_of_what_is_held_is_damaged() -> None:
    holding = Holding(D(1))
    holding.apply(fill_key(1, "sim", "1", "o"), D(1), D(10))
    holding.begin_close()
    holding.finish_close(marked(1))
    with pytest.raises(StorageError, match="give 0 shares that cost 0"):
        holding.recall(Holding(D(1)))


def test_fills_of_orders_are_those_and_no_splits() -> None:
    holding = Holding(D(1))
    holding.apply(fill_key(1, "sim", "1", "o-1"), D(1), D(10))
    holding.apply(fill_key(2, "sim", "2", "o-2"), D(1), D(10))
    holding.split(fill_key(3, "", "", "o-1"), D(2), D(0), (D(1), D(1)))
    assert [step.key[3] for step in holding.steps_of("o-1")] == ["1"]
    assert [step.key[3] for step in holding.steps_of_any({"o-1", "o-2"})] == ["1", "2"]
    # And what was bought before a split is of other shares than those that are held now
    (first, second) = holding.steps_of_any({"o-1", "o-2"})
    assert holding.was_split_after(first)
    holding.apply(fill_key(4, "sim", "4", "o-4"), D(1), D(10))
    assert holding.was_split_after(second)
    assert not holding.was_split_after(holding.steps_of("o-4")[0])


def test_nothing_is_left_of_the_cost_where_a_late_sale_leaves_no_shares() -> None:
    # Given 10 shares at 100 of which a split leaves 5
    holding = book((1, "10", "100"))
    holding.split(fill_key(5, "", "", "2018-05-08"), D(-5), D(500), (D(1), D(2)))
    assert (holding.qty, holding.cost) == (5, 500)
    # When a sale of 5 from before it comes
    holding.apply(fill_key(3, "sim", "x-3"), D(-5), D(100))
    # Then nothing is held, and nothing has cost anything
    assert (holding.qty, holding.cost, holding.average_cost) == (0, 0, None)


def test_shares_that_come_to_nothing_keep_a_cost_finer_than_the_quantum() -> None:
    holding = Holding(D("0.01"))
    holding.add_at_cost(fill_key(1, "", "", "DEPOSIT c"), D(3), D("100.004"))
    assert (holding.cost, holding.realized) == (D("100.004"), 0)
