"""What every store of a session must do, as tests given a factory: subclass, and give the fixtures.

Rows are those of :mod:`tests.db.rows`. What belongs to one kind of store (its schema, its file, its advice) is
tested beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal as D
from typing import Any, TypeAlias

import msgspec
import pytest

from qts.capital.contracts import Pool
from qts.db.contracts import BatchRow, ConfigRow
from qts.db.session import SessionStore
from qts.errors import ContractError, StateError, StorageError
from qts.execution.contracts import Order, OrderState
from qts.execution.states import ExecutionState
from qts.ledger.contracts import BookingKind
from qts.strategy.contracts import Side
from tests.db import rows
from tests.db.rows import RUN

Opens: TypeAlias = Callable[..., SessionStore]
CONFIG = ConfigRow(1, "hash", 5, "kim", "tighter", "{}")


def content(store: SessionStore) -> dict[str, list[Any]]:
    """Everything that rewinding puts back."""
    kinds = (*rows.KINDS, "quarantine", "batches")
    return {name: list(getattr(store, name)()) for name in kinds} | {"checkpoint": [store.checkpoint()]}


class StoreTests:
    """``opens`` opens the same store again and again, with ``rewindable`` as told (True); every one is closed.

    It opens the run :data:`RUN` in a store that has none, unless ``begun`` is False.

    ``alters`` changes a stored row of the ledger behind the store's back.
    """

    @pytest.fixture
    def opens(self) -> Opens:
        raise NotImplementedError

    @pytest.fixture
    def alters(self) -> Callable[[], None]:
        raise NotImplementedError

    @pytest.fixture
    def store(self, opens: Opens) -> SessionStore:
        return opens()

    # -- a batch -------------------------------------------------------------------------------------------

    def test_what_was_committed_is_there_after_reopening(self, opens: Opens) -> None:
        written: dict[str, list[Any]] = {
            "ledger": [rows.ledger()],
            "actions": [rows.action()],
            "bookings": [rows.booking()],
            "day_closes": [rows.day_close()],
            "holding_closes": [rows.holding_close(), rows.holding_close(pool=None, strategy="")],
            "orders": [rows.order()],
            "positions": [rows.position()],
            "pools": [rows.pool()],
            "transfers": [rows.transfer()],
            "state_history": [rows.state()],
            "safety_history": [rows.safety()],
            "equity_curve": [rows.equity()],
            "refusals": [rows.refusal()],
            "decisions": [rows.decision()],
            "executions": [rows.execution()],
            "stages": [rows.stage(), rows.stage(own_ns=None)],
        }
        store = opens()
        store.commit([record for kind in written.values() for record in kind], b"checkpoint", ["e-1", "e-2"])
        store.close()

        found = content(opens())

        assert {name: found[name] for name in written} == written
        assert found["checkpoint"] == [b"checkpoint"]
        assert found["batches"] == [BatchRow(1, ("e-1", "e-2"))]

    def test_a_split_or_dividend_of_a_holding_is_written_once(self, store: SessionStore) -> None:
        store.commit([rows.action()])
        with pytest.raises(StorageError):
            store.commit([rows.action(amount=D(1))])
        store.commit([rows.action(strategy="swing"), rows.action("2018-05-08"), rows.action(symbol="X")])
        assert len(store.actions()) == 4
        assert store.actions(3) == [rows.action(symbol="X")]

    def test_an_execution_is_there_as_it_last_stood_and_every_answer_of_its_stages(
        self, store: SessionStore
    ) -> None:
        # Given an execution that was stored with a checkpoint
        store.commit([rows.execution(), rows.stage()], b"checkpoint")

        # When it moves on twice in one batch
        done = rows.execution(state=ExecutionState.COMPLETE, filled=D(10), changed_ns=9)
        store.commit([rows.execution(rounds=1, changed_ns=8), rows.stage(ts_ns=8), done, rows.stage(ts_ns=9)])

        # Then its newest form and all answers are there, and rewinding takes both back
        assert store.executions() == [done]
        assert [row.ts_ns for row in store.stages(1)] == [8, 9]
        store.rewind()
        assert (store.executions(), store.stages()) == ([rows.execution()], [rows.stage()])

    def test_a_booking_is_written_once(self, store: SessionStore) -> None:
        store.commit([rows.booking()])
        with pytest.raises(StorageError):
            store.commit([rows.booking(amount=D(1))])
        of_pool = rows.booking(kind=BookingKind.DEPOSIT, pool=Pool.SWING)
        store.commit([rows.booking("c-2"), rows.booking(order_id="o-2"), of_pool])
        assert len(store.bookings()) == 4
        assert store.bookings(3) == [of_pool]

    def test_a_day_is_closed_once(self, store: SessionStore) -> None:
        store.commit([rows.day_close(), rows.holding_close()])
        for again in (rows.day_close(equity=D(1)), rows.holding_close(qty=D(1))):
            with pytest.raises(StorageError):
                store.commit([again])
        store.commit([rows.day_close("2018-05-08")])
        assert store.day_closes(1) == [rows.day_close("2018-05-08")]
        assert store.holding_closes(1) == []

    def test_the_opening_is_the_newest_close_with_the_newest_row_of_each_holding(self, store: SessionStore) -> None:
        assert store.opening() is None
        hynix, external = rows.holding_close(symbol="000660"), rows.holding_close(pool=None, strategy="")
        store.commit([rows.day_close(), hynix, rows.holding_close(), external])
        changed = rows.holding_close("2018-05-08", qty=D(7), symbol="000660")
        store.commit([rows.day_close("2018-05-08"), changed])
        store.commit([rows.day_close("2018-05-09")])
        opening = (rows.day_close("2018-05-09"), [changed, rows.holding_close(), external])
        assert store.opening() == opening

    def test_open_orders_are_those_that_have_not_ended(self, store: SessionStore) -> None:
        states = ["WORKING", "FILLED", "UNKNOWN", "CANCELLED", "FILLED_LATE"]
        orders = [rows.order(f"o-{number}", state) for number, state in enumerate(states)]
        store.commit([row for order in orders for row in (rows.decision(order.client_order_id), order)])
        assert store.open_orders() == [orders[0], orders[2]]

    @pytest.mark.parametrize("digits", ["0", "0.00000001", "-1E-7", "123456789012345678901234567", "1E+3", "10.00"])
    def test_money_comes_back_digit_for_digit(self, store: SessionStore, digits: str) -> None:
        store.commit([rows.ledger(fee=D(digits)), rows.position(qty=digits)])
        assert store.ledger()[0].fee.as_tuple() == D(digits).as_tuple()
        assert store.positions()[0].qty.as_tuple() == D(digits).as_tuple()

    def test_rows_that_change_keep_their_newest_version(self, store: SessionStore) -> None:
        store.commit([rows.decision(), rows.order(), rows.position(qty="1"), rows.pool(cash="1")])
        store.commit([rows.order(state="FILLED"), rows.position(qty="2"), rows.pool(cash="2")])
        assert [order.state.value for order in store.orders()] == ["FILLED"]
        assert [position.qty for position in store.positions()] == [2]
        assert [pool.cash for pool in store.pools()] == [2]

    def test_a_signed_position_and_an_overdrawn_pool_are_facts(self, store: SessionStore) -> None:
        store.commit([rows.position(qty="-3"), rows.pool(cash="-1")])
        assert (store.positions()[0].qty, store.pools()[0].cash) == (-3, -1)

    def test_limit_and_flags_of_an_order(self, store: SessionStore) -> None:
        limited = rows.order(limit=D("71250.0"), reduce_only=False, forced=True, side=Side.BUY, pool=Pool.SWING)
        store.commit([rows.decision(), limited])
        assert store.orders() == [limited]

    def test_batches_are_numbered_from_one_without_gaps_over_all_lives(self, opens: Opens) -> None:
        """A batch that was refused takes no number."""
        store = opens()
        assert [store.commit([]), store.commit([rows.ledger()], b"one")] == [1, 2]
        with pytest.raises(StorageError):
            store.commit([rows.ledger()])
        store.close()
        store = opens()
        assert store.commit([rows.equity()], None, ["e-1"]) == 3
        assert store.batches() == [BatchRow(1, ()), BatchRow(2, ()), BatchRow(3, ("e-1",))]
        assert store.batches(since=2) == [BatchRow(3, ("e-1",))]

    @pytest.mark.parametrize(
        "again",
        [rows.ledger(qty=D(99)), rows.decision(), rows.transfer(), rows.state(), rows.safety(), rows.order("o-9")],
        ids=["fill", "approval", "transfer", "transition", "safety cause", "order without approval"],
    )
    def test_a_batch_is_wholly_there_or_not_at_all(self, store: SessionStore, again: Any) -> None:
        store.commit([rows.ledger(), rows.decision(), rows.transfer(), rows.state(), rows.safety()], b"one")
        before = content(store)

        with pytest.raises(StorageError):
            store.commit([rows.equity(99), rows.position(qty="5"), again], b"two", ["e-1"])

        assert content(store) == before
        store.commit([rows.equity(100)])  # and the store can be used further
        assert len(store.equity_curve()) == 1

    def test_what_is_no_record_is_refused_and_nothing_is_written(self, store: SessionStore) -> None:
        with pytest.raises(ContractError, match="cannot write a str"):
            store.commit([rows.ledger(), "row"])  # type: ignore[list-item]
        assert store.ledger() == []

    def test_a_transfer_may_not_leave_its_source_below_zero(self, store: SessionStore) -> None:
        with pytest.raises(StorageError):
            store.commit([rows.transfer(), rows.pool(cash="-0.01")])
        store.commit([rows.transfer(), rows.pool(cash="0.00")])
        assert len(store.transfers()) == 1

    # -- reading -------------------------------------------------------------------------------------------

    def test_readers_begin_behind_what_the_caller_has(self, store: SessionStore) -> None:
        store.commit([rows.ledger("x-1"), rows.transfer("t-1"), rows.equity(1)])
        store.commit([rows.ledger("x-2"), rows.transfer("t-2"), rows.equity(2)])
        assert [row.execution_id for row in store.ledger(since=1)] == ["x-2"]
        assert [transfer.transfer_id for transfer in store.transfers(since=1)] == ["t-2"]
        assert [row.ts_ns for row in store.equity_curve(since=1)] == [2]
        assert (store.ledger(since=2), store.transfers(since=2)) == ([], [])

    def test_readers_of_rows_that_change_begin_at_a_moment(self, store: SessionStore) -> None:
        early = msgspec.structs.replace(rows.position("a"), ts_ns=100)
        late = msgspec.structs.replace(rows.position("b"), ts_ns=200)
        store.commit([early, late])
        assert store.positions(since_ns=101) == [late]
        assert store.positions(since_ns=100) == [early, late]
        assert store.positions(since_ns=201) == []

    def test_what_another_one_writes_is_seen_once_it_is_committed(self, opens: Opens) -> None:
        writer, reader = opens(), opens()
        writer.commit([rows.ledger("x-1")], b"one")
        assert [row.execution_id for row in reader.ledger()] == ["x-1"]
        assert reader.checkpoint() == b"one"
        writer.commit([rows.ledger("x-2")])
        assert len(reader.ledger()) == 2

    # -- the checkpoint ------------------------------------------------------------------------------------

    def test_there_is_no_checkpoint_at_first(self, store: SessionStore) -> None:
        assert (store.checkpoint(), store.checkpoint_number) == (None, 0)

    @pytest.mark.parametrize("data", [b"", b"\x00", b"state\x00\x00", bytes(range(256)) * 20, b"x" * 1_000_000])
    def test_a_checkpoint_comes_back_byte_for_byte(self, opens: Opens, data: bytes) -> None:
        store = opens()
        store.commit([], b"an older and longer one" * 99)
        store.commit([rows.ledger()], data)
        store.close()
        assert opens().checkpoint() == data

    def test_checkpoints_are_numbered_over_all_lives(self, opens: Opens) -> None:
        store = opens()
        store.commit([], b"one")
        store.commit([rows.equity()])
        store.commit([], b"two")
        assert store.checkpoint_number == 2
        store.close()
        store = opens()
        store.rewind()
        assert store.checkpoint_number == 2
        store.commit([], b"three")
        assert store.checkpoint_number == 3

    def test_rewinding_puts_back_exactly_what_stood_at_the_checkpoint(self, opens: Opens) -> None:
        store = opens()
        first = [rows.decision("o-1"), rows.order("o-1", "WORKING"), rows.position(qty="1"), rows.pool(cash="7")]
        store.commit([*first, rows.ledger("x-1")], b"one", ["e-1"])
        stood = content(store)
        store.commit([rows.decision("o-2"), rows.order("o-2"), rows.ledger("x-2"), rows.transfer(), rows.state()])
        store.commit([rows.order("o-1", "FILLED"), rows.position(qty="9"), rows.pool(cash="1")], None, ["e-2"])
        store.close()

        store = opens()
        store.rewind()

        assert content(store) == stood
        assert store.commit([rows.ledger("x-2")], b"two") == 2, "what was taken back is written under its number"

    def test_without_a_checkpoint_a_rewind_leaves_only_the_run(self, store: SessionStore) -> None:
        store.open_run(RUN)
        store.commit([rows.decision(), rows.order(), rows.ledger(), rows.pool(), rows.transfer(), rows.state()])
        store.rewind()
        assert [name for name, found in content(store).items() if found and found != [None]] == []
        assert store.run() == RUN

    def test_a_store_of_a_real_broker_is_not_rewound(self, opens: Opens) -> None:
        store = opens(rewindable=False)
        store.commit([rows.ledger("x-1")], b"one")
        store.commit([rows.ledger("x-2")])
        with pytest.raises(StateError, match="is not rewound"):
            store.rewind()
        assert len(store.ledger()) == 2

    def test_a_store_of_a_real_broker_is_never_rewound_when_it_is_opened(self, opens: Opens) -> None:
        store = opens(rewindable=False)
        store.open_run(RUN)
        store.commit([rows.ledger("x-1")])
        store.close()
        with pytest.raises(StateError, match="is not rewound"):
            opens(rewindable=True).rewind()

    @pytest.mark.parametrize(
        ("before", "after", "why"),
        [
            (rows.order(state="CANCELLED"), rows.order(state="WORKING"), "CANCELLED and would become WORKING"),
            (rows.order(state="UNKNOWN"), rows.order(state="INTENT"), "UNKNOWN and would become INTENT"),
            (rows.order(filled=D(4)), rows.order(filled=D(3)), "4 of it are filled, and it would be 3"),
            (rows.order(), rows.order(strategy="other"), "its strategy would change from 'ema' to 'other'"),
        ],
    )
    @pytest.mark.parametrize("checkpoint", [None, b"two"])
    def test_an_order_of_a_real_broker_only_moves_on(
        self, opens: Opens, before: Order, after: Order, why: str, checkpoint: bytes | None
    ) -> None:
        # Given an order that has come so far
        store = opens(rewindable=False)
        store.open_run(RUN)
        store.commit([rows.decision("o-1"), before], b"one")
        # When it is written as it stood before, with or without a checkpoint, then nothing of the batch is
        with pytest.raises(StorageError, match=why):
            store.commit([rows.ledger("x-1"), after], checkpoint)
        assert (store.orders(), store.ledger()) == ([before], [])
        # And it can still move on, also to a state that the rows do not show on the way there
        done = msgspec.structs.replace(before, state=OrderState.FILLED_LATE, filled=D(10))
        store.commit([done], checkpoint)
        assert store.orders() == [done]

    # -- the run -------------------------------------------------------------------------------------------

    def test_the_run_is_kept_and_finished_with_its_result(self, opens: Opens) -> None:
        store = opens(begun=False)
        assert store.run() is None
        store.open_run(RUN)
        store.open_run(msgspec.structs.replace(RUN, started_at="later"))
        assert store.run() == RUN
        store.finish_run('{"fills": 3}')
        store.close()
        assert opens().run() == msgspec.structs.replace(RUN, finished=True, result='{"fills": 3}')

    def test_another_run_and_another_account_are_refused_by_name(self, opens: Opens) -> None:
        store = opens(begun=False)
        with pytest.raises(StateError, match="no run to finish"):
            store.finish_run("{}")
        store.open_run(RUN)
        with pytest.raises(StateError, match="run run-1 of account main, not to run run-2 of account main"):
            store.open_run(msgspec.structs.replace(RUN, run_id="run-2"))
        with pytest.raises(StateError, match="not to run run-1 of account second"):
            store.open_run(msgspec.structs.replace(RUN, account="second"))

    def test_nothing_is_written_before_a_run_is_opened(self, opens: Opens) -> None:
        store = opens(begun=False)
        with pytest.raises(StateError, match="no run to write for"):
            store.commit([rows.ledger()])
        with pytest.raises(StateError, match="no run to write for"):
            store.accept_config(CONFIG)
        store.open_run(RUN)
        assert store.commit([rows.ledger()]) == 1

    @pytest.mark.parametrize(
        "record",
        [
            rows.ledger(account="second"),
            rows.ledger(account=""),
            rows.action(account="x"),
            rows.booking(account="x"),
        ],
        ids=["fill", "fill of none", "split", "booking"],
    )
    def test_a_record_of_another_account_is_refused(self, store: SessionStore, record: Any) -> None:
        before = content(store)
        with pytest.raises(ContractError, match=f"is of account '{record.account}'.* belongs to account 'main'"):
            store.commit([rows.pool(), record])
        assert content(store) == before

    @pytest.mark.parametrize(
        "record",
        [
            rows.order("89abcdef-o-1"),
            rows.order("89abcdef01234567-o-1"),
            rows.decision("89abcdef-o-1"),
            msgspec.structs.replace(rows.decision(), decision_id="89abcdef-d-1"),
            rows.refusal("89abcdef-d-1"),
            rows.transfer("89abcdef-t-1"),
            rows.ledger(order_id="89abcdef-o-1"),
        ],
        ids=lambda record: type(record).__name__,
    )
    def test_a_record_with_an_id_of_another_run_is_refused(self, store: SessionStore, record: Any) -> None:
        before = content(store)
        with pytest.raises(ContractError, match=r"89abcdef\w*-[odt]-1 is of another run; .* run run-1$"):
            store.commit([rows.pool(), record])
        assert content(store) == before

    def test_two_runs_whose_first_digits_are_the_same_are_told_apart_by_the_whole_id(self, opens: Opens) -> None:
        store = opens(begun=False)
        store.open_run(msgspec.structs.replace(RUN, run_id="0123456789abcdef"))
        for own in ("01234567-d-1", "0123456789abcdef-d-2"):
            store.commit([rows.refusal(own)])
        with pytest.raises(ContractError, match="of another run"):
            store.commit([rows.refusal("01234567fedcba98-d-1")])

    def test_an_accepted_configuration_stays_accepted(self, opens: Opens) -> None:
        store = opens()
        store.commit([], b"one")
        store.accept_config(CONFIG)
        with pytest.raises(StorageError):
            store.accept_config(msgspec.structs.replace(CONFIG, config_hash="other"))
        store.rewind()
        store.close()
        assert opens().configs() == [CONFIG]

    def test_a_history_that_was_altered_is_named(self, opens: Opens, alters: Callable[[], None]) -> None:
        store = opens()
        store.commit([rows.ledger("x-1"), rows.ledger("x-2")], b"one")
        assert store.verify_history() == ""
        store.close()
        alters()
        with pytest.raises(StorageError, match="t_ledger: row 1"):
            opens().verify_history()

    def test_it_is_closed_twice_without_harm_and_then_reads_nothing(self, store: SessionStore) -> None:
        store.close()
        store.close()
        with pytest.raises(StorageError, match="closed"):
            store.ledger()
