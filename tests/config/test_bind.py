# ruff: noqa: E501 - a table of examples reads best with one example a line
"""What may be written for each kind of setting, and what a refusal says."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from qts.config.loader import LoadedConfig
from qts.config.shape import Kind, shape_of
from tests.config.sample import Inner, Mood, Symbol, given, loaded, refused


def alpha(directory: Path, text: str) -> object:
    return loaded(given(directory, text)).tree.alpha  # type: ignore[attr-defined]


HOW = (
    "is not a plain number; write its digits, such as 1500, 1_500_000, -3 or 0.05"
    " (no leading zero or +, no exponent, hex, octal or 1:30, no unit)"
)


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        ("share: 0.10", "share", Decimal("0.10")),
        ("share: 1", "share", Decimal(1)),
        (
            "share: 0.123456789012345678901234567890",
            "share",
            Decimal("0.123456789012345678901234567890"),
        ),
        ("limit: 1_500_000", "limit", Decimal(1_500_000)),
        ("limit: null", "limit", None),
        ("limit: -0.0", "limit", Decimal(0)),
        ("count: 100", "count", 100),
        ("count: 0\nstep: 0", "count", 0),
        ("ratio: 0", "ratio", 0.0),
        ("ratio: 1.999", "ratio", 1.999),
        ("huge: -12.5", "huge", -12.5),
        ("step: 15", "step", 15),
        ("active: false", "active", False),
        ("mood: WILD", "mood", Mood.WILD),
        ("mood: 'WILD'", "mood", Mood.WILD),
        ("level: HIGH", "level", "HIGH"),
        ("name: plain words", "name", "plain words"),
        ("name: '005930'", "name", "005930"),
        ('name: "yes"', "name", "yes"),
        ("name: 삼성전자", "name", "삼성전자"),
        ("name: ''", "name", ""),
        ("code: USD", "code", "USD"),
        ("hours: []", "hours", ()),
        ("hours: [0, 23]", "hours", (0, 23)),
        ("hours:\n  - 7\n  - 8", "hours", (7, 8)),
        ("span: [0, 1]", "span", (0.0, 1.0)),
        ("tags: [b, a]", "tags", frozenset({"a", "b"})),
        ("inner: {depth: 9}", "inner", Inner(depth=9)),
        ("moods: {CALM: {label: y}}", "moods", {Mood.CALM: Inner(label="y"), Mood.WILD: Inner(depth=7)}),
        ("symbols: {'005930': {market: CALM}}", "symbols", {"005930": Symbol(market=Mood.CALM)}),
        ("weights: {a: 0.5}", "weights", {"a": Decimal("0.5")}),
        ("symbols: {}", "symbols", {}),
    ],
)
def test_a_value_is_read_as_it_is_written(tmp_path: Path, line: str, field: str, value: object) -> None:
    read = getattr(alpha(tmp_path, line + "\n"), field)

    assert read == value
    assert type(read) is type(value)


def test_a_decimal_keeps_the_digits_of_its_text(tmp_path: Path) -> None:
    assert str(alpha(tmp_path, "share: 0.10\n").share) == "0.10"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        # ranges: the value, then what is allowed
        ("share: 0", "alpha.share: '0' is out of range; allowed: number above 0 to 1"),
        ("share: 1.0000000000000000000000000000000000001",
         "alpha.share: '1.0000000000000000000000000000000000001' is out of range; allowed: number above 0 to 1"),
        ("share: 0.1234567890123456789012345678901",
         "alpha.share: '0.1234567890123456789012345678901' may have 30 digits behind the point and be 10^15 at the "
         "most; allowed: number above 0 to 1"),
        ("share: -0.5", "alpha.share: '-0.5' is out of range; allowed: number above 0 to 1"),
        ("count: 101", "alpha.count: '101' is out of range; allowed: whole number from 0 to 100"),
        ("count: -1", "alpha.count: '-1' is out of range; allowed: whole number from 0 to 100"),
        ("ratio: 2", "alpha.ratio: '2' is out of range; allowed: number from 0 below 2"),
        ("step: 7", "alpha.step: '7' is not a multiple of the step; allowed: whole number from 0 to 100 in steps of 5"),
        ("limit: -1", "alpha.limit: '-1' is out of range; allowed: number from 0 or null"),
        # not finite
        ("share: .nan", "alpha.share: '.nan' is not a finite number; allowed: number above 0 to 1"),
        ("share: NaN", "alpha.share: 'NaN' is not a finite number; allowed: number above 0 to 1"),
        ("share: -.inf", "alpha.share: '-.inf' is not a finite number; allowed: number above 0 to 1"),
        ("share: Infinity", "alpha.share: 'Infinity' is not a finite number; allowed: number above 0 to 1"),
        (f"huge: 1{'0' * 309}", f"alpha.huge: '1{'0' * 59}…' is too large; allowed: number"),
        # traps of the format
        ("count: 0123", f"alpha.count: '0123' {HOW}; allowed: whole number from 0 to 100"),
        ("count: 0x1F", f"alpha.count: '0x1F' {HOW}; allowed: whole number from 0 to 100"),
        ("count: 0o17", f"alpha.count: '0o17' {HOW}; allowed: whole number from 0 to 100"),
        ("count: 1:30", f"alpha.count: '1:30' {HOW}; allowed: whole number from 0 to 100"),
        ("count: 1e1", f"alpha.count: '1e1' {HOW}; allowed: whole number from 0 to 100"),
        ("count: +5", f"alpha.count: '+5' {HOW}; allowed: whole number from 0 to 100"),
        ("count: 1_0", f"alpha.count: '1_0' {HOW}; allowed: whole number from 0 to 100"),
        ("share: .5", f"alpha.share: '.5' {HOW}; allowed: number above 0 to 1"),
        ("share: 50%", f"alpha.share: '50%' {HOW}; allowed: number above 0 to 1"),
        ("share: 0,5", f"alpha.share: '0,5' {HOW}; allowed: number above 0 to 1"),
        ("share: ٠", f"alpha.share: '٠' {HOW}; allowed: number above 0 to 1"),
        ("share: true", f"alpha.share: 'true' {HOW}; allowed: number above 0 to 1"),
        (f"share: 0.{'1' * 400}", f"alpha.share: '0.{'1' * 58}…' {HOW}; allowed: number above 0 to 1"),
        ("count: 10.0", "alpha.count: '10.0' is not a whole number; allowed: whole number from 0 to 100"),
        ("count: '10'", "alpha.count: '10' is text; write the number without quotes; allowed: whole number from 0 to 100"),
        ("active: yes", "alpha.active: 'yes' is not true or false; allowed: true or false"),
        ("active: on", "alpha.active: 'on' is not true or false; allowed: true or false"),
        ("active: True", "alpha.active: 'True' is not true or false; allowed: true or false"),
        ("active: 1", "alpha.active: '1' is not true or false; allowed: true or false"),
        ("active: 'true'", "alpha.active: 'true' is not true or false; allowed: true or false"),
        ("mood: WLID", "alpha.mood: 'WLID' is none of the values (did you mean WILD?); allowed: CALM or WILD"),
        ("mood: calm", "alpha.mood: 'calm' is none of the values; allowed: CALM or WILD"),
        ("level: MID", "alpha.level: 'MID' is none of the values; allowed: LOW or HIGH"),
        ("name: 005930", "alpha.name: '005930' needs quotes to be text: write '005930'; allowed: text of 0 to 20 characters"),
        ("name: yes", "alpha.name: 'yes' needs quotes to be text: write 'yes'; allowed: text of 0 to 20 characters"),
        ("name: 2018-01-22",
         "alpha.name: '2018-01-22' needs quotes to be text: write '2018-01-22'; allowed: text of 0 to 20 characters"),
        ("name: 1e5", "alpha.name: '1e5' needs quotes to be text: write '1e5'; allowed: text of 0 to 20 characters"),
        (f"name: {'n' * 21}", "alpha.name: has 21 characters, at most 20 are allowed; allowed: text of 0 to 20 characters"),
        ("code: krw", "alpha.code: 'krw' does not match; allowed: text matching ^[A-Z]{3}$"),
        ('code: "KRW\\n"', "alpha.code: 'KRW\\n' does not match; allowed: text matching ^[A-Z]{3}$"),
        # form
        ("count:", "alpha.count: has no value; allowed: whole number from 0 to 100, or leave the key out"),
        ("count: null", "alpha.count: has no value; allowed: whole number from 0 to 100, or leave the key out"),
        ("limit: ~", "alpha.limit: has no value; allowed: number from 0 or null, or leave the key out"),
        ("count: [1]", "alpha.count: needs a single value; allowed: whole number from 0 to 100"),
        ("count: {a: 1}", "alpha.count: needs a single value; allowed: whole number from 0 to 100"),
        ("inner: 5", "alpha.inner: needs 'key: value' lines; keys depth, label"),
        ("inner: [1]", "alpha.inner: needs 'key: value' lines; keys depth, label"),
        ("hours: 9",
         "alpha.hours: needs a list, such as [a, b]; allowed: list of whole number from 0 to 23 of 0 to 5 entries"),
        ("hours: [1, 2, 3, 4, 5, 6]",
         "alpha.hours: has 6 entries, at most 5 are allowed"),
        ("hours: [9, 24]", "alpha.hours[1]: '24' is out of range; allowed: whole number from 0 to 23"),
        ("span: [0.1]", "alpha.span: has 1 entries; allowed: [number from 0 to 1, number from 0 to 1]"),
        ("span: [0.1, 1.1]", "alpha.span[1]: '1.1' is out of range; allowed: number from 0 to 1"),
        ("moods: 5",
         "alpha.moods: needs 'key: value' lines; allowed: table from CALM or WILD to keys depth, label"),
        ("moods: {SAD: {depth: 1}}", "alpha.moods.SAD: unknown key; allowed here: CALM, WILD"),
        ("moods: {WILD: {depth: 10}}", "alpha.moods.WILD.depth: '10' is out of range; allowed: whole number from 1 to 9"),
        ("symbols: {005930: {market: CALM}}",
         "alpha.symbols.005930: as a key '005930' needs quotes to be text: write '005930'"),
        ("symbols: {'0059300': {market: CALM}}",
         "alpha.symbols.0059300: as a key has 7 characters, at most 6 are allowed"),
        ("symbols: {'a': {market: CALM}, b: {market: CALM}, c: {market: CALM}, d: {market: CALM}}",
         "alpha.symbols: has 4 entries, at most 3 are allowed"),
        ("symbols: {a: {lot: 2}}", "alpha.symbols.a.market: is missing; allowed: CALM or WILD"),
        ("symbols: {a: {market: WILD, lot: 51}}", "alpha.symbols.a: a WILD symbol has lots up to 50"),
        # keys
        ("max_los_pct: 1", "alpha.max_los_pct: unknown key; allowed here: "),
        ("shaer: 1", "alpha.shaer: unknown key (did you mean share?); allowed here: share, count, ratio, "),
        ("<<: {share: 1}", "alpha.<<: unknown key; allowed here: "),
        ("inner: {dept: 1}", "alpha.inner.dept: unknown key (did you mean depth?); allowed here: depth, label"),
        # secrets belong elsewhere
        ("name: ${HOME}",
         "alpha.name: ${...} is for secrets only, and this is none; allowed: text of 0 to 20 characters"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_with_place_value_and_allowed(
    tmp_path: Path, line: str, message: str
) -> None:
    found = refused(given(tmp_path, f"# first line\n{line}\n"))

    assert len(found) == 1
    assert found[0].startswith(f"alpha.yaml:2: {message}")
    if not message.endswith((", ", ": ")):
        assert found[0] == f"alpha.yaml:2: {message}"


def test_all_problems_of_all_files_are_reported_together_in_order(tmp_path: Path) -> None:
    given(tmp_path, "share: 7\n\ncount: x\nshaer: 1\n", beta="retries: 6\nretrys: 1\n")

    assert [line.split(": ")[0:2] for line in refused(tmp_path)] == [
        ["alpha.yaml:1", "alpha.share"],
        ["alpha.yaml:3", "alpha.count"],
        ["alpha.yaml:4", "alpha.shaer"],
        ["beta.yaml:1", "beta.retries"],
        ["beta.yaml:2", "beta.retrys"],
    ]


def test_an_impossible_combination_is_named_at_the_line_of_its_value(tmp_path: Path) -> None:
    given(tmp_path, "count: 1\n\nstep: 15\n")
    assert refused(tmp_path) == ["alpha.yaml:3: alpha.step: must not be above ten times count (1), got 15"]

    given(tmp_path, "step: 10\ncount: 1\n")
    assert isinstance(loaded(tmp_path), LoadedConfig)


def test_a_combination_is_named_at_the_neighbour_when_its_own_value_is_the_default(tmp_path: Path) -> None:
    given(tmp_path, "\n\ncount: 0\n")

    assert refused(tmp_path) == ["alpha.yaml:3: alpha.step: must not be above ten times count (0), got 10"]


def test_combinations_are_judged_even_when_another_file_is_wrong(tmp_path: Path) -> None:
    given(tmp_path, "count: 0\n", beta="retries: 9\n")

    assert [line.split(": ")[1] for line in refused(tmp_path)] == ["alpha.step", "beta.retries"]


def test_a_secret_is_read_from_the_environment_and_never_from_the_file(tmp_path: Path) -> None:
    given(tmp_path, beta="token: ${QTS_TOKEN}\n")
    config = loaded(tmp_path, QTS_TOKEN="canary-1234")
    assert config.tree.beta.token == "canary-1234"  # type: ignore[attr-defined]
    assert config.source_of("beta.token") == "env QTS_TOKEN"


@pytest.mark.parametrize(
    "text", ["canary-1234", "'canary-1234'", "${qts_token}", "x${QTS_TOKEN}", "canary-1234${X}"]
)
def test_a_secret_written_into_a_file_is_refused_without_being_repeated(tmp_path: Path, text: str) -> None:
    given(tmp_path, beta=f"token: {text}\n")

    assert refused(tmp_path, QTS_TOKEN="abcd") == [
        "beta.yaml:1: beta.token: is a secret and must not be written here; "
        "put it into an environment variable and write ${NAME}"
    ]


@pytest.mark.parametrize("env", [{}, {"QTS_TOKEN": ""}])
def test_a_secret_whose_variable_is_not_set_is_refused(tmp_path: Path, env: dict[str, str]) -> None:
    given(tmp_path, beta="token: ${QTS_TOKEN}\n")

    assert refused(tmp_path, **env) == [
        "beta.yaml:1: beta.token: the environment variable QTS_TOKEN is not set; export it first"
    ]


def test_a_secret_of_the_wrong_length_is_refused_without_being_repeated(tmp_path: Path) -> None:
    given(tmp_path, beta="token: ${QTS_TOKEN}\n")

    assert refused(tmp_path, QTS_TOKEN="abc") == [
        "beta.yaml:1: beta.token: the value of QTS_TOKEN does not have the length a secret here has"
    ]


@pytest.mark.parametrize("annotation", [int | str, bytes, dict[int, int], object])
def test_a_type_a_configuration_cannot_hold_is_a_fault_of_the_program(annotation: object) -> None:
    with pytest.raises(TypeError):
        shape_of(annotation)


def test_a_shape_names_what_is_allowed_for_people() -> None:
    assert shape_of(list[str]).allowed() == "list of text"
    assert shape_of(dict[str, int]).allowed() == "table from text to whole number"
    assert shape_of(bool | None).allowed() == "true or false or null"
    assert shape_of(list[int]).kind is Kind.LIST


@pytest.mark.parametrize("sign", ["", "-"])
def test_an_amount_may_be_a_power_of_ten_of_either_sign_and_nothing_beyond(tmp_path: Path, sign: str) -> None:
    most, beyond = f"{sign}1000000000000000", f"{sign}1000000000000000.1"
    (tmp_path / "most").mkdir()
    (tmp_path / "beyond").mkdir()

    assert alpha(tmp_path / "most", f"weights: {{a: {most}}}").weights == {"a": Decimal(most)}  # type: ignore[attr-defined]
    problems = refused(given(tmp_path / "beyond", f"weights: {{a: {beyond}}}"))

    assert problems == [
        f"alpha.yaml:1: alpha.weights.a: '{beyond}' may have 30 digits behind the point and be 10^15 at the most; allowed: number"
    ]
