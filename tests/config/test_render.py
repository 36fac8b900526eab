"""The files a person edits: they are the defaults of the code, and any configuration survives being written."""

from __future__ import annotations

import functools
import itertools
import tempfile
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from qts.config.leaves import config_hash, leaves, quoted
from qts.config.loader import LoadedConfig, examine, load_config
from qts.config.render import render_section, write_defaults
from qts.config.shape import Kind, Shape, key_text, number_of
from qts.config.tree import QTS, Layout, QtsConfig
from qts.errors import ConfigError
from tests.config.sample import SAMPLE, Mood, Sample, Symbol
from tests.effort import examples

MOST = Decimal(10**15)
SHIPPED = Path(__file__).parents[2] / "config"


# -- the files in config/ ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("section", QTS.sections)
def test_a_shipped_file_is_what_the_code_says(section: str) -> None:
    text = (SHIPPED / f"{section}.yaml").read_text(encoding="utf-8")

    assert text == render_section(section, getattr(QtsConfig(), section)), "run: python -m qts.config.render config"


def test_there_is_one_file_for_each_section_and_none_beside() -> None:
    assert {path.name for path in SHIPPED.glob("*.y*ml")} == {f"{name}.yaml" for name in QTS.sections}


def test_the_shipped_files_load_to_the_defaults_and_name_every_setting() -> None:
    config = load_config(SHIPPED, {}, {})

    assert config.tree == QtsConfig()
    assert config.hash == config_hash(QTS.shape, QtsConfig())
    unnamed = {row.path for row in config.as_rows() if row.source == "default"}
    # What an entry of the table of symbols may leave open is explained in the comment of the table.
    open_ones = ("currency", "quantum", "tick", "fee_rate", "tax_rate")
    assert unnamed == {f"instruments.symbols.005930.{name}" for name in open_ones}


@pytest.mark.parametrize("section", QTS.sections)
def test_every_setting_of_a_shipped_file_has_its_comment_above_it(section: str) -> None:
    lines = (SHIPPED / f"{section}.yaml").read_text(encoding="utf-8").splitlines()

    for above, line in itertools.pairwise(lines):
        if ": " in line and not line.lstrip().startswith("#"):
            assert above.lstrip().startswith("#"), line
    assert max(map(len, lines)) <= 116


def test_other_readers_of_yaml_see_the_same_values() -> None:
    """The safe loader of the library, which knows nothing of our rules, reads the same numbers and words."""
    for section in QTS.sections:
        plain = yaml.safe_load((SHIPPED / f"{section}.yaml").read_text(encoding="utf-8"))
        for leaf in leaves(QTS.shape, QtsConfig()):
            if leaf.path.startswith(f"{section}.") and not leaf.path.startswith("instruments."):
                found = functools.reduce(lambda node, key: node[key], leaf.path.split(".")[1:], plain)
                if leaf.value is None:
                    assert found is None
                elif leaf.shape.kind.is_number:
                    assert number_of(found) == number_of(leaf.value)
                elif leaf.shape.kind is Kind.CHOICE:
                    assert found == key_text(leaf.value)
                else:
                    assert found == (list(leaf.value) if isinstance(leaf.value, tuple) else leaf.value)


def test_the_defaults_can_be_written_to_a_directory(tmp_path: Path) -> None:
    paths = write_defaults(tmp_path, SAMPLE)

    assert [path.name for path in paths] == ["alpha.yaml", "beta.yaml"]
    assert load_config(tmp_path, {}, {}, SAMPLE).tree == Sample()


def test_edited_settings_are_not_written_over(tmp_path: Path) -> None:
    write_defaults(tmp_path, SAMPLE)
    written = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()}
    write_defaults(tmp_path, SAMPLE)  # what was made here may be made again
    edited = tmp_path / "beta.yaml"
    edited.write_text("nonsense: 1\n")

    with pytest.raises(ConfigError, match="settings that were edited"):
        write_defaults(tmp_path, SAMPLE)

    assert edited.read_text() == "nonsense: 1\n"
    write_defaults(tmp_path, SAMPLE, replace=True)
    assert {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()} == written


def test_a_written_secret_is_a_reference_to_a_variable() -> None:
    text = render_section("beta", Sample().beta.__class__(token="canary-1234"), SAMPLE)

    assert "canary" not in text
    assert "\ntoken: ${BETA_TOKEN}\n" in text


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("a", "'a'"),
        ("it's", "'it''s'"),
        ("", "''"),
        ("a\nb", '"a\\x0ab"'),
        ('"\\\u2028', '"\\"\\\\\\u2028"'),
        ("삼성", "'삼성'"),
    ],
)
def test_a_text_is_written_so_that_it_reads_back(text: str, written: str) -> None:
    assert quoted(text) == written
    assert yaml.safe_load(quoted(text)) == text


# -- any valid configuration ---------------------------------------------------------------------------------------


def values_of(shape: Shape) -> st.SearchStrategy[Any]:
    """Any value a setting may have."""
    some = _values(shape)
    return st.none() | some if shape.optional else some


def _values(shape: Shape) -> st.SearchStrategy[Any]:
    limits = shape.limits
    if shape.kind is Kind.BOOL:
        return st.booleans()
    if shape.kind is Kind.CHOICE:
        return st.sampled_from([value for _, value in shape.choices])
    if shape.kind.is_number:
        return _numbers(shape)
    if shape.kind is Kind.TEXT:
        if limits.pattern is not None:
            return st.from_regex(limits.pattern.removesuffix("$") + r"\Z")
        size = limits.max_length if limits.max_length is not None else 30
        return st.text(min_size=limits.min_length or 0, max_size=size).filter(lambda text: "${" not in text)
    if shape.kind is Kind.LIST:
        return _lists(shape)
    if shape.kind is Kind.TABLE:
        return _tables(shape)
    return st.builds(shape.type, **{field.name: values_of(field.shape) for field in shape.fields})


def _numbers(shape: Shape) -> st.SearchStrategy[Any]:
    limits = shape.limits
    low = limits.ge if limits.ge is not None else limits.gt
    high = limits.le if limits.le is not None else limits.lt

    def fits(value: Any) -> bool:
        exact = number_of(value)
        return not (
            (limits.gt is not None and exact <= number_of(limits.gt))
            or (limits.lt is not None and exact >= number_of(limits.lt))
            or (limits.multiple_of is not None and exact % number_of(limits.multiple_of) != 0)
        )

    if shape.kind is Kind.INT:
        return st.integers(low, high).filter(fits)  # type: ignore[arg-type]
    if shape.kind is Kind.FLOAT:
        # -0.0 reads back as 0.0, which is the same number
        return st.floats(low, high, allow_nan=False, allow_infinity=False).filter(fits)  # type: ignore[arg-type]
    # A setting that is an amount is at most 10^15, whatever its own bounds are.
    bounds = [number_of(bound) if bound is not None else most for bound, most in ((low, -MOST), (high, MOST))]
    return st.decimals(*bounds, allow_nan=False, allow_infinity=False, places=7).filter(fits)


def _lists(shape: Shape) -> st.SearchStrategy[Any]:
    if shape.items:
        return st.tuples(*map(values_of, shape.items))
    assert shape.item is not None
    size = min(shape.limits.max_length or 4, 4)
    many = st.lists(values_of(shape.item), max_size=size)
    return many.map(frozenset if shape.type is frozenset else tuple)


def _tables(shape: Shape) -> st.SearchStrategy[Any]:
    assert shape.item is not None
    if shape.key is not None:
        return st.fixed_dictionaries({member: values_of(shape.item) for member in shape.key})
    keys = st.text(max_size=shape.key_limits.max_length or 6)
    return st.dictionaries(keys, values_of(shape.item), max_size=min(shape.limits.max_length or 3, 3))


def read_back(tree: Any, layout: Layout, env: Mapping[str, str]) -> LoadedConfig:
    """Write every section of ``tree`` to a file and load the directory."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        for section in layout.sections:
            text = render_section(section, getattr(tree, section), layout)
            (directory / f"{section}.yaml").write_text(text, encoding="utf-8", newline="")
        found = examine(directory, {}, env, layout)
    assert isinstance(found, LoadedConfig), "\n".join(map(str, found))
    return found


def is_usable(symbol: Any) -> bool:
    return not (isinstance(symbol, Symbol) and symbol.market is Mood.WILD and symbol.lot > 50)


@settings(max_examples=examples(20, whole=40), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_valid_configuration_written_to_yaml_loads_to_the_same(data: st.DataObject) -> None:
    symbol = st.sampled_from(Mood).flatmap(
        lambda market: st.builds(
            Symbol,
            market=st.just(market),
            lot=st.decimals(Decimal("0.01"), 50 if market is Mood.WILD else 100, places=2),
        )
    )
    alpha_shape = SAMPLE.shape.field("alpha")
    assert alpha_shape is not None
    fields = {field.name: values_of(field.shape) for field in alpha_shape.shape.fields}
    fields["symbols"] = st.dictionaries(st.text(max_size=6), symbol, max_size=3)
    alpha = data.draw(st.builds(alpha_shape.shape.type, **fields))
    assume(not alpha.problems())
    # a variable of the environment cannot hold a NUL or a lone surrogate
    token = data.draw(st.none() | st.text(st.characters(min_codepoint=1, exclude_categories=["Cs"]), min_size=4))
    tree = Sample(alpha=alpha, beta=Sample().beta.__class__(token=token, retries=data.draw(st.integers(0, 5))))

    config = read_back(tree, SAMPLE, {"BETA_TOKEN": token} if token is not None else {})

    assert config.tree == tree
    assert config.hash == config_hash(SAMPLE.shape, tree)
    assert {row.source for row in config.as_rows() if row.secret and token is not None} <= {"env BETA_TOKEN"}


SETTINGS = [leaf for leaf in leaves(QTS.shape, QtsConfig()) if not leaf.path.startswith("instruments.")]


def with_value(node: Any, keys: list[str], value: Any) -> Any:
    """A copy of ``node`` with the field at ``keys`` replaced."""
    head, *rest = keys
    inner = with_value(getattr(node, head), rest, value) if rest else value
    return type(node)(**{name: getattr(node, name) if name != head else inner for name in node.__struct_fields__})


@settings(
    max_examples=examples(20, whole=40),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(data=st.data())
def test_the_real_configuration_survives_any_valid_changes(data: st.DataObject) -> None:
    tree: Any = QtsConfig()
    for leaf in data.draw(st.lists(st.sampled_from(SETTINGS), min_size=1, max_size=4, unique_by=lambda s: s.path)):
        changed = with_value(tree, leaf.path.split("."), data.draw(values_of(leaf.shape), label=leaf.path))
        section = leaf.path.partition(".")[0]
        if not getattr(changed, section).problems():  # a change that contradicts another setting is left out
            tree = changed

    config = read_back(tree, QTS, {})

    assert config.tree == tree
    assert config.hash == config_hash(QTS.shape, tree)
