"""A strategy's memory through a checkpoint and back, and what cannot go there."""

from __future__ import annotations

import dataclasses
import http
import os
import random
import subprocess
import sys
import threading
from collections import Counter, OrderedDict, defaultdict, deque
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qts.capital.contracts import Pool
from qts.errors import ContractError
from qts.indicators import Ema, NumberIndicator, Sma
from qts.strategy.contracts import Intent, Side
from qts.strategy.portfolio import Portfolio
from qts.strategy.scalp import Scalp
from qts.strategy.snapshot import restore, save
from qts.strategy.swing import Swing
from qts.strategy.two_ema import TwoEma
from tests.strategy.scripted_context import ScriptedContext


class Mood(Enum):
    CALM = 1
    WILD = 2


@dataclasses.dataclass
class Track:
    high: float
    days: list[int]


@dataclasses.dataclass
class Half:
    known: int
    derived: int = dataclasses.field(init=False, default=0)


class Memory(TwoEma):
    """A strategy with one attribute more, whatever a test puts there."""

    def __init__(self, value: Any = None) -> None:
        super().__init__()
        self.value = value


def through_disk(strategy: Any, fresh: Any) -> Any:
    restore(fresh, msgspec.msgpack.decode(msgspec.msgpack.encode(save(strategy))))
    return fresh


def returned(value: Any) -> Any:
    return through_disk(Memory(value), Memory()).value


plain = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=8)
    | st.binary(max_size=8)
    | st.decimals(allow_nan=False)
    | st.sampled_from([*Pool, *Side, *Mood])
    | st.datetimes(timezones=st.none() | st.just(UTC)).map(lambda moment: moment.replace(fold=0))
    | st.dates()
    | st.timedeltas()
)
hashable = st.recursive(
    plain, lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3), max_leaves=4
)
memories = st.recursive(
    plain | hashable | st.sets(hashable, max_size=4),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(hashable, inner, max_size=4)
        | st.lists(inner, max_size=4).map(lambda items: deque(items, maxlen=7))
        | st.builds(Track, high=st.floats(allow_nan=False), days=st.lists(st.integers(), max_size=3))
    ),
    max_leaves=12,
)


def shape(value: Any) -> Any:
    """The value with its types, so that 1, 1.0 and True are not taken for each other."""
    if isinstance(value, dict):
        return (dict, [(shape(k), shape(v)) for k, v in value.items()])
    if isinstance(value, deque):
        return (deque, value.maxlen, [shape(item) for item in value])
    if isinstance(value, list | tuple):
        return (type(value), [shape(item) for item in value])
    if isinstance(value, set | frozenset):
        return (type(value), sorted(map(repr, map(shape, value))))
    if isinstance(value, Track):
        return (Track, value.high, shape(value.days))
    return (type(value), repr(value))


@settings(max_examples=300)
@given(memories)
def test_what_goes_in_comes_out(value: Any) -> None:
    assert shape(returned(value)) == shape(value)


@pytest.mark.parametrize("made", [TwoEma, Scalp, Swing, Portfolio])
def test_a_restored_strategy_goes_on_as_if_nothing_had_happened(made: type) -> None:
    rising = [100 + (i * 7) % 13 + i / 10 for i in range(160)]
    context, strategy = ScriptedContext(), made()
    context.quotes(strategy, rising)
    context.bars(strategy, rising)
    context.fill(strategy, "A", Side.BUY, 110)
    twin = through_disk(strategy, made())
    assert vars(twin) == vars(strategy)

    other = ScriptedContext()
    other.ns, other.held, other.cost = context.ns, dict(context.held), dict(context.cost)
    falling = [100 - (i * 5) % 11 for i in range(60)]
    said = context.quotes(strategy, falling) + context.bars(strategy, falling)
    assert other.quotes(twin, falling) + other.bars(twin, falling) == said
    assert said, "the series must make every strategy speak, or nothing is compared"


def test_random_numbers_go_on_where_they_stopped() -> None:
    source = random.Random(7)
    source.random()
    twin = returned(source)
    assert [twin.random() for _ in range(3)] == [source.random() for _ in range(3)]


@pytest.mark.parametrize(
    "value",
    [
        Counter({"a": 3, "b": -1}),
        OrderedDict([("b", 1), ("a", 2)]),
        defaultdict(int, {"a": 1}),
        defaultdict(list, {("A", Side.BUY): [1.5]}),
        defaultdict(Decimal),
        defaultdict(None, {1: 2}),
    ],
)
def test_the_standard_kinds_of_dict_stay_what_they_are(value: Any) -> None:
    twin = returned(value)
    assert type(twin) is type(value)
    assert list(twin.items()) == list(value.items())
    assert getattr(twin, "default_factory", None) is getattr(value, "default_factory", None)


def test_frozen_contracts_of_qts_are_kept() -> None:
    intent = Intent("A", Side.BUY, 0.5, qty=Decimal("1.5"), reason="x")
    assert returned([intent]) == [intent]


def test_times_are_kept() -> None:
    value = (datetime(2026, 1, 23, 9, tzinfo=UTC), date(2026, 1, 23), timedelta(days=-1, microseconds=3))
    assert returned(value) == value


def test_slots_are_memory_too() -> None:
    class Slotted:
        __slots__ = ("count", "name", "never_set", "pool", "symbols")

        def __init__(self) -> None:
            self.name, self.pool, self.symbols, self.count = "s", Pool.SCALP, (), 0

    strategy: Any = Slotted()
    strategy.count = 5
    assert through_disk(strategy, Slotted()).count == 5


def test_one_slot_written_as_a_text() -> None:
    class One(TwoEma):
        __slots__ = "count"

    strategy = One()
    strategy.count = 5
    assert through_disk(strategy, One()).count == 5


def test_a_strategy_may_keep_its_memory_itself() -> None:
    class Own(TwoEma):
        def __init__(self) -> None:
            super().__init__()
            self.lock = threading.Lock()
            self.count = 0

        def save_state(self) -> dict[str, Any]:
            return {"count": self.count, "seen": {Decimal(1)}}

        def load_state(self, state: dict[str, Any]) -> None:
            assert state["seen"] == {Decimal(1)}
            self.count = state["count"]

    strategy = Own()
    strategy.count = 9
    assert through_disk(strategy, Own()).count == 9


def test_attributes_named_as_not_saved_are_left_out() -> None:
    class Locked(Memory):
        not_saved = ("value",)

    fresh = Locked("rebuilt in on_start")
    assert through_disk(Locked(threading.Lock()), fresh).value == "rebuilt in on_start"


loop: list[Any] = []
loop.append(loop)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (threading.Lock(), "lock"),
        ([1, {"a": object()}], "builtins.object"),
        (lambda: 0, "function"),
        (Enum("Mood", "CALM", module=__name__, qualname="Mood").CALM, "test_snapshot.Mood"),
        (http.HTTPStatus.OK, "http.HTTPStatus"),
        (Half(1), "Half with fields that its constructor does not take"),
        (loop, "nesting of more than 32 levels"),
        (complex(1, 2), "complex"),
        (defaultdict(lambda: 0), "(use one of int, float, "),
        (datetime(2026, 1, 23, tzinfo=ZoneInfo("Asia/Seoul")), "datetime in Asia/Seoul (keep times in UTC)"),
    ],
)
def test_what_cannot_be_kept_is_named_with_a_way_out(value: Any, kind: str) -> None:
    with pytest.raises(ContractError) as caught:
        save(Memory(value))
    message = str(caught.value)
    assert "strategy 'two-ema' (Memory): self.value" in message
    assert kind in message
    for way in ("not_saved = ('value',)", "on_start", "save_state()", "load_state(dict)"):
        assert way in message


def test_save_state_must_return_a_dict() -> None:
    class Wrong(TwoEma):
        def save_state(self) -> list[int]:
            return [1]

    with pytest.raises(ContractError, match="must return a dict, it returned list"):
        save(Wrong())


def test_a_checkpoint_of_another_class_is_refused() -> None:
    with pytest.raises(ContractError, match=r"two_ema:TwoEma; resume with that class"):
        restore(Scalp(), save(TwoEma()))


def test_save_state_without_load_state_is_refused() -> None:
    class Own(TwoEma):
        def save_state(self) -> dict[str, Any]:
            return {}

    with pytest.raises(ContractError, match="no load_state"):
        restore(Own(), save(Own()))


@pytest.mark.parametrize(
    "value",
    [
        {"surprise": 1},
        {"enum": ["os:environ", "HOME"]},
        {"enum": ["qts.capital.contracts:Gone", "X"]},
        {"object": ["subprocess:Popen", {"args": "true"}]},
        {"object": ["qts.clock:SystemClock", {}]},
    ],
)
def test_a_checkpoint_names_data_and_runs_nothing(value: dict[str, Any]) -> None:
    saved = save(Memory())
    saved["memory"]["value"] = value
    with pytest.raises(ContractError, match="the checkpoint"):
        restore(Memory(), saved)


def test_the_same_memory_is_written_the_same_under_every_hash_seed() -> None:
    code = (
        "import msgspec, sys; from qts.strategy.two_ema import TwoEma; from qts.strategy.snapshot import save;"
        "s = TwoEma(); s.seen = {'a', 'b', 'c', 'd', 'e', 1, 2.5};"
        "sys.stdout.buffer.write(msgspec.msgpack.encode(save(s)))"
    )
    written = set()
    for seed in ("0", "1", "2"):
        env = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        written.add(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, env=env).stdout)
    assert len(written) == 1


def moved(indicator: Any, *numbers: float) -> Any:
    for x in numbers:
        indicator.update(x)
    return indicator


def test_indicators_are_saved_like_any_number_also_in_lists_and_dicts() -> None:
    # Given
    memory = {"A": [moved(Sma(3), 1.0, 2.0, 6.0, 3.0)], "B": (moved(Ema(2, of="high"), 1.0),)}

    # When
    back = returned(memory)

    # Then each goes on where the saved one stands
    sma, ema = back["A"][0], back["B"][0]
    assert (sma.name, sma.value, sma.previous, sma.update(0.0)) == ("Sma(3)", 11 / 3, 3.0, 3.0)
    assert (ema.name, ema.ready, ema.update(2.0)) == ("Ema(2, of=high)", False, 1.5)


class Steps(NumberIndicator):
    """A strategy file's own."""

    def __init__(self, size: Decimal = Decimal(1)) -> None:
        super().__init__()
        self.size = size
        self.count = 0

    def compute(self, x: float) -> float:
        self.count += 1
        return self.count * float(self.size)


def test_an_indicator_of_the_strategys_own_file_is_saved_with_its_settings() -> None:
    back = returned(moved(Steps(Decimal("0.5")), 1.0, 1.0))

    assert (type(back), back.size, back.value, back.update(1.0)) == (Steps, Decimal("0.5"), 1.0, 1.5)


def test_what_an_own_indicator_holds_and_no_checkpoint_keeps_is_named() -> None:
    odd = Steps()
    odd.count = {1}  # type: ignore[assignment]

    with pytest.raises(ContractError, match=r"attribute count holds a set"):
        save(Memory([odd]))
