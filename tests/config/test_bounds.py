"""Every bound of every setting, taken from the annotations: at the bound it is allowed, beyond it refused."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from enum import Enum

import msgspec
import pytest

from qts.config.bind import INVALID, Binder
from qts.config.document import Place, Scalar
from qts.config.leaves import leaves
from qts.config.shape import Kind, Shape, number_of, plain
from qts.config.tree import QTS


def numbers(shape: Shape, path: str) -> Iterator[tuple[str, Shape]]:
    """Every numeric setting below ``shape``, those inside lists and tables too."""
    if shape.kind.is_number:
        yield path, shape
    for field in shape.fields:
        yield from numbers(field.shape, f"{path}.{field.name}" if path else field.name)
    for index, item in enumerate(shape.items):
        yield from numbers(item, f"{path}[{index}]")
    if shape.item is not None:
        yield from numbers(shape.item, f"{path}.*")


def test_every_setting_says_what_it_is_for() -> None:
    assert [leaf.path for leaf in leaves(QTS.shape, QTS.root()) if not leaf.shape.description] == []


NUMBERS = dict(numbers(QTS.shape, ""))


def step_of(shape: Shape) -> Decimal:
    """The smallest change tried: one for whole numbers, else less than any bound has digits for."""
    return Decimal(1) if shape.kind is Kind.INT else Decimal("0.000000001")


def edges(shape: Shape) -> Iterator[tuple[Decimal, bool]]:
    """(value, allowed) on both sides of each bound."""
    limits, step = shape.limits, step_of(shape)
    if limits.ge is not None:
        yield from ((number_of(limits.ge), True), (number_of(limits.ge) - step, False))
    if limits.gt is not None:
        yield from ((number_of(limits.gt) + step, True), (number_of(limits.gt), False))
    if limits.le is not None:
        yield from ((number_of(limits.le), True), (number_of(limits.le) + step, False))
    if limits.lt is not None:
        yield from ((number_of(limits.lt) - step, True), (number_of(limits.lt), False))


@pytest.mark.parametrize("path", NUMBERS)
def test_a_number_is_allowed_up_to_its_bounds_and_refused_beyond_them(path: str) -> None:
    shape = NUMBERS[path]

    for value, allowed in edges(shape):
        binder = Binder({})
        bound = binder.bind(shape, Scalar(plain(value), False, Place("x.yaml", 3)), INVALID, path)
        if allowed:
            assert binder.problems == [], value
            assert number_of(bound) == value
            assert type(bound) is shape.type
        else:
            expected = f"x.yaml:3: {path}: '{plain(value)}' is out of range; allowed: {shape.allowed()}"
            assert bound is INVALID
            assert [str(problem) for problem in binder.problems] == [expected]


@pytest.mark.parametrize("path", NUMBERS)
def test_a_number_has_a_lowest_and_a_highest_value(path: str) -> None:
    limits = NUMBERS[path].limits

    assert (limits.ge is None) != (limits.gt is None)
    assert (limits.le is None) != (limits.lt is None)


@pytest.mark.parametrize("path", NUMBERS)
def test_no_number_takes_what_only_looks_like_one(path: str) -> None:
    for text in (".nan", "NaN", ".inf", "-.inf", "yes", "0123", "'1'", "1e3", "1:30", "0x1", ""):
        binder = Binder({})
        node = Scalar(text.strip("'"), text.startswith("'"), Place("x.yaml", 3))

        assert binder.bind(NUMBERS[path], node, INVALID, path) is INVALID, text
        assert len(binder.problems) == 1


def test_the_defaults_lie_inside_their_bounds_and_fit_together() -> None:
    for leaf in leaves(QTS.shape, QTS.root()):
        if leaf.shape.kind.is_number and leaf.value is not None:
            binder = Binder({})
            binder.bind(leaf.shape, Scalar(leaf.text, False, Place("x.yaml", 1)), INVALID, leaf.path)
            assert binder.problems == []
    root = QTS.root()
    for section in QTS.sections:
        assert getattr(root, section).problems() == []


def test_every_reloadable_name_is_a_setting() -> None:
    """A name in RELOADABLE that does not exist would promise a reload that never comes."""
    paths = {leaf.path for leaf in leaves(QTS.shape, QTS.root())}
    groups = {path.rsplit(".", count)[0] for path in paths for count in range(1, path.count(".") + 1)}

    for section, names in QTS.reloadable.items():
        for name in names:
            assert f"{section}.{name}" in paths | groups


MONEY_WORDS = ("equity", "amount", "transfer", "price", "fee", "tax", "quantum", "tick", "lot", "cash", "capital")
RATIO_WORDS = ("share", "_pct", "factor", "deviation", "participation", "growth", "interval", "exposure_limit")


def test_no_value_that_is_money_is_a_float() -> None:
    """Ratios, indicators and latencies may be floats; prices and amounts may not (`exact-money`)."""
    money = {
        path: shape
        for path, shape in NUMBERS.items()
        if any(word in path.rpartition(".")[2] for word in MONEY_WORDS)
        and not any(word in path.rpartition(".")[2] for word in RATIO_WORDS)
    }

    assert {"runtime.equity_start", "capital.min_transfer", "capital.scalp.min_amount"} <= set(money)
    assert {"instruments.symbols.*.lot", "instruments.symbols.*.tick", "instruments.symbols.*.fee_rate"} <= set(
        money
    )
    assert {path for path, shape in money.items() if shape.kind is Kind.FLOAT} == set()


def test_the_tree_is_frozen_all_the_way_down() -> None:
    def structs(value: object) -> Iterator[msgspec.Struct]:
        if isinstance(value, msgspec.Struct):
            yield value
            for name in value.__struct_fields__:
                yield from structs(getattr(value, name))
        elif isinstance(value, dict):
            for inner in value.values():
                yield from structs(inner)
        else:
            assert isinstance(value, str | int | float | Decimal | bool | Enum | tuple | None)

    found = list(structs(QTS.root()))
    assert len(found) > 20
    assert all(struct.__struct_config__.frozen for struct in found)
