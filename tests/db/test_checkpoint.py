"""A rewind puts back exactly what stood at the newest checkpoint, across a reopening and a kill -9."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from decimal import Decimal as D
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qts.capital.contracts import Pool
from qts.db.sqlite import SqliteStore
from qts.errors import StorageError
from tests.effort import examples

from . import rows
from .rows import opened


def content(store: SqliteStore) -> dict[str, list[Any]]:
    return {name: list(getattr(store, name)()) for name in rows.KINDS} | {"checkpoint": [store.checkpoint()]}


def reopened(store: SqliteStore, path: Path) -> SqliteStore:
    store.close()
    return opened(path)


def test_an_intent_written_after_the_checkpoint_is_gone_after_a_rewind(tmp_path: Path) -> None:
    path = tmp_path / "q.sqlite"
    store = opened(path)
    store.commit([rows.decision("o-1"), rows.order("o-1", "WORKING")], checkpoint=b"one")
    store.commit([rows.decision("o-2"), rows.order("o-2")])
    store.commit([rows.order("o-1", "PARTIAL")])
    store.commit([rows.order("o-1", "FILLED"), rows.order("o-2", "UNKNOWN")])
    store = reopened(store, path)
    assert [o.state.value for o in store.orders()] == ["FILLED", "UNKNOWN"]
    store.rewind()
    assert store.orders() == [rows.order("o-1", "WORKING")]
    assert store.decisions() == [rows.decision("o-1")]
    store.close()


def test_a_batch_that_failed_leaves_no_trace_in_the_next_rewind(tmp_path: Path) -> None:
    store = opened(tmp_path / "q.sqlite")
    store.commit([rows.position(qty="1"), rows.ledger()], checkpoint=b"one")
    with pytest.raises(StorageError):
        store.commit([rows.position(qty="2"), rows.ledger()])
    store.commit([rows.position(qty="3")])
    store.rewind()
    assert [row.qty for row in store.positions()] == [1]
    store.close()


def test_a_failed_checkpoint_leaves_the_former_one_in_force(tmp_path: Path) -> None:
    store = opened(tmp_path / "q.sqlite")
    store.commit([rows.position(qty="1"), rows.ledger()], checkpoint=b"one")
    store.commit([rows.position(qty="2")])
    with pytest.raises(StorageError):
        store.commit([rows.position(qty="3"), rows.ledger()], checkpoint=b"two")
    store.commit([rows.position(qty="4")])
    store.rewind()
    assert [row.qty for row in store.positions()] == [1]
    assert store.checkpoint() == b"one"
    store.close()


NAMES = st.sampled_from("abc")
QTY = st.integers(-5, 5).map(str)
BATCH = st.lists(
    st.one_of(
        st.tuples(st.just("fill"), NAMES, QTY),
        st.tuples(st.just("order"), NAMES, st.sampled_from(["INTENT", "WORKING", "FILLED"])),
        st.tuples(st.just("pool"), st.sampled_from([p.value for p in Pool]), QTY),
        st.tuples(st.just("move"), NAMES, QTY),
        st.tuples(st.just("report"), NAMES, QTY),
    ),
    max_size=4,
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["commit", "commit", "checkpoint"]), BATCH),
        st.tuples(st.sampled_from(["rewind", "reopen"]), st.just([])),
    ),
    max_size=15,
)


class Writer:
    """Turns drawn words into records with fresh keys."""

    def __init__(self) -> None:
        self.count = 0
        self.approved: set[str] = set()

    def records(self, words: list[tuple[str, str, str]], known: set[str]) -> list[Any]:
        found: list[Any] = []
        for kind, name, value in words:
            self.count += 1
            if kind == "fill":
                found += [rows.ledger(f"x-{self.count}"), rows.position(symbol=name, qty=value)]
            elif kind == "order":
                if name not in known:
                    known.add(name)
                    found.append(rows.decision(name))
                found.append(rows.order(name, value, ts_update_ns=self.count))
            elif kind == "pool":
                found.append(msgspec.structs.replace(rows.pool(), pool=Pool(name), cash=D(value)))
            elif kind == "move":
                found += [rows.transfer(f"t-{self.count}"), rows.pool(Pool.SCALP, "5")]
            else:
                found += [rows.state(self.count), rows.safety(self.count), rows.equity(self.count)]
                found.append(rows.refusal(f"d-{self.count}"))
        return found


@settings(max_examples=examples(40, whole=100), deadline=None)
@given(STEPS)
def test_a_rewind_restores_the_checkpoint_whatever_was_written_since(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, list[tuple[str, str, str]]]]
) -> None:
    path = tmp_path_factory.mktemp("store") / "q.sqlite"
    store, writer = opened(path), Writer()
    at_checkpoint, known_then, known = content(store), set[str](), set[str]()
    for number, (step, words) in enumerate(steps):
        if step == "rewind":
            store.rewind()
            known = set(known_then)
            assert content(store) == at_checkpoint
        elif step == "reopen":
            before = content(store)
            store = reopened(store, path)
            assert content(store) == before
        else:
            mark = b"%d" % number if step == "checkpoint" else None
            store.commit(writer.records(words, known), checkpoint=mark)
            if mark is not None:
                at_checkpoint, known_then = content(store), set(known)
    store = reopened(store, path)
    store.rewind()
    assert content(store) == at_checkpoint
    store.close()


CHILD = """
import sys
from decimal import Decimal as D
from qts.db.contracts import ConfigRow
from qts.db.sqlite import SqliteStore
from tests.db import rows
store = SqliteStore(sys.argv[1], durability=sys.argv[2], rewindable=True)
store.open_run(rows.RUN)
number = len(store.ledger())
while True:
    number += 1
    name = f"o-{number}"
    store.commit([rows.decision(name), rows.order(name)])
    fill = rows.ledger(f"x-{number}", order_id=name)
    qty = rows.position(qty=str(number))
    pool, order = rows.pool(cash=str(number)), rows.order(name, "FILLED")
    store.commit([fill, qty, pool, order], checkpoint=b"%d" % number)
    store.commit([rows.equity(number), rows.position(qty="999999")])
    print(number, flush=True)
"""


@pytest.mark.parametrize("durability", ["NORMAL", "FULL"])
def test_kill_9_at_any_moment_loses_no_acknowledged_fill_and_leaves_none_half_written(
    tmp_path: Path, durability: str
) -> None:
    path, acknowledged = tmp_path / "q.sqlite", 0
    for round_number in range(4):
        acknowledged = run_until_killed(path, durability, at_least=acknowledged + 5 + 17 * round_number)
        store = opened(path)
        store.rewind()
        count = int(store.checkpoint() or b"0")
        assert count >= acknowledged
        assert [row.execution_id for row in store.ledger()] == [f"x-{i}" for i in range(1, count + 1)]
        assert {o.client_order_id: o.state.value for o in store.orders()} == {
            f"o-{i}": "FILLED" for i in range(1, count + 1)
        }
        assert [row.qty for row in store.positions()] == [count]
        assert [row.cash for row in store.pools()] == [count]
        assert store._connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        store.close()


def run_until_killed(path: Path, durability: str, at_least: int) -> int:
    """Let a child write until it has acknowledged ``at_least`` fills, kill it; how many it acknowledged."""
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(root / "src"), str(root)])}
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path), durability], stdout=subprocess.PIPE, env=environment, text=True
    )
    assert child.stdout is not None
    last = 0
    for line in child.stdout:
        last = int(line)
        if last >= at_least:
            break
    child.send_signal(signal.SIGKILL)
    rest = child.stdout.read().split()
    child.stdout.close()
    assert child.wait() == -signal.SIGKILL
    return int(rest[-1]) if rest else last
