# ruff: noqa: E501 - a table of examples reads best with one example a line
"""Where the configuration is looked for, what overrides what, where each value came from, and its hash."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, settings
from hypothesis import given as drawn
from hypothesis import strategies as st

from qts.config.bind import Binder
from qts.config.document import Section, parse_document
from qts.config.loader import LoadedConfig, examine, load_config, tree_of
from qts.config.tree import QTS, QtsConfig
from qts.errors import ConfigError
from tests.config.sample import SAMPLE, Sample, given, loaded, refused


def sources(config: LoadedConfig) -> dict[str, str]:
    directory = f"{config.directory}/"
    return {row.path: row.source.replace(directory, "") for row in config.as_rows()}


# -- where ------------------------------------------------------------------------------------------------------


def test_without_any_file_the_defaults_are_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    config = load_config(None, {}, {})

    assert config.directory is None
    assert config.tree == QTS.root()
    assert {row.source for row in config.as_rows()} == {"default"}


def test_an_explicit_directory_goes_before_the_environment_and_that_before_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, count in (("explicit", 1), ("env", 2), ("config", 3)):
        (tmp_path / name).mkdir()
        given(tmp_path / name, f"count: {count}\n")
    monkeypatch.chdir(tmp_path)
    env = {"QTS_CONFIG": str(tmp_path / "env")}

    def count_of(directory: Path | None, env: dict[str, str]) -> int:
        tree = load_config(directory, {}, env, SAMPLE).tree
        assert isinstance(tree, Sample)
        return tree.alpha.count

    assert count_of(tmp_path / "explicit", env) == 1
    assert count_of(None, env) == 2
    assert count_of(None, {}) == 3
    assert count_of(None, {"QTS_CONFIG": ""}) == 3


def test_a_directory_that_was_named_must_be_there(tmp_path: Path) -> None:
    missing = tmp_path / "nowhere"
    text = "does not exist; {} names the directory that holds the YAML files"
    with pytest.raises(ConfigError, match=r"nowhere: does not exist; --config names"):
        load_config(missing, {}, {})

    assert [str(p) for p in examine(None, {}, {"QTS_CONFIG": str(missing)})] == [  # type: ignore[union-attr]
        f"{missing}: {text.format('$QTS_CONFIG')}"
    ]
    file = tmp_path / "alpha.yaml"
    file.write_text("", encoding="utf-8")
    assert [str(p) for p in examine(file, {}, {})] == [  # type: ignore[union-attr]
        f"{file}: is a file, not a directory; --config names the directory that holds the YAML files"
    ]


def test_a_missing_file_and_a_missing_key_keep_their_defaults(tmp_path: Path) -> None:
    config = loaded(given(tmp_path, "inner:\n  depth: 5\n"))

    assert isinstance(config.tree, Sample)
    assert config.tree.alpha.inner.depth == 5
    assert config.tree.alpha.inner.label == "x"
    assert config.tree.alpha.count == 10
    assert config.tree.beta == Sample().beta


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "alhpa.yaml",
            "is no configuration file of QTS (did you mean alpha.yaml?); known are: alpha.yaml, beta.yaml",
        ),
        ("zzz.yaml", "is no configuration file of QTS; known are: alpha.yaml, beta.yaml"),
        (
            "alpha.yml",
            "is no configuration file of QTS (did you mean alpha.yaml?); known are: alpha.yaml, beta.yaml",
        ),
    ],
)
def test_a_file_without_a_reader_is_refused(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / name).write_text("count: 1\n", encoding="utf-8")

    assert refused(tmp_path) == [f"{name}: {message}"]


def test_what_is_no_yaml_file_is_left_alone(tmp_path: Path) -> None:
    for name in ("README.md", ".#alpha.yaml", "alpha.yaml~"):
        (tmp_path / name).write_text("- what ever\n", encoding="utf-8")
    (tmp_path / "krx").mkdir()
    (tmp_path / "beta.yaml").write_text("", encoding="utf-8")

    assert loaded(tmp_path).tree == Sample(), "nothing of them is read"


def test_a_directory_of_other_files_is_refused_because_the_defaults_would_apply(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("notes\n", encoding="utf-8")

    with pytest.raises(ConfigError, match="--config names a directory without a YAML file"):
        load_config(tmp_path, {}, {})


# -- overrides ---------------------------------------------------------------------------------------------------


def test_set_goes_before_the_file_and_says_so(tmp_path: Path) -> None:
    given(tmp_path, "share: 0.2\ncount: 20\ninner:\n  depth: 5\n  label: y\n")
    overrides = {"alpha.share": "0.6", "alpha.inner.depth": "6", "alpha.hours": "[8, 9]", "beta.retries": "1"}

    config = loaded(tmp_path, overrides)

    assert isinstance(config.tree, Sample)
    assert str(config.tree.alpha.share) == "0.6"
    assert (config.tree.alpha.inner.depth, config.tree.alpha.inner.label) == (6, "y")
    assert config.tree.alpha.hours == (8, 9)
    assert config.tree.beta.retries == 1
    found = sources(config)
    assert found["alpha.share"] == found["alpha.inner.depth"] == found["alpha.hours"] == "--set"
    assert found["alpha.count"] == "alpha.yaml:2"
    assert found["alpha.inner.label"] == "alpha.yaml:5"
    assert found["alpha.ratio"] == "default"


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("alpha.share", "2", "--set: alpha.share: '2' is out of range; allowed: number above 0 to 1"),
        ("alpha.share", "yes", "--set: alpha.share: 'yes' is not a plain number; "),
        ("alpha.share", "", "--set: alpha.share: needs one value on one line"),
        ("alpha.share", "[1", "--set: alpha.share: not readable as YAML: expected ',' or ']', but got '<stream end>'"),
        ("alpha.share", "&a 1", "--set: alpha.share: an anchor (&a); write the value where it is used"),
        ("alpha.shaer", "1", "--set: alpha.shaer: unknown key (did you mean share?); allowed here: share, "),
        ("alpha.inner.x.y", "1", "--set: alpha.inner.x: unknown key; allowed here: depth, label"),
        ("alhpa.share", "1", "--set: alhpa.share: no such setting (did you mean alpha?); it starts with one of: alpha, "),
        ("alpha", "1", "--set: alpha: is a group of settings; name the one that is meant: alpha.KEY"),
        ("alpha.inner", "1", "--set: alpha.inner: needs 'key: value' lines; keys depth, label"),
        ("alpha.symbols.a.lot", "1",
         "--set: alpha.symbols.a.lot: this table is written in its file as a whole; one entry cannot be added from "),
        ("beta.token", "canary-1234", "--set: beta.token: is a secret and must not be written here; "),
    ],
)  # fmt: skip
def test_what_cannot_be_set_is_refused_like_in_a_file(tmp_path: Path, key: str, value: str, message: str) -> None:
    found = refused(tmp_path, {key: value})

    assert len(found) == 1
    assert found[0].startswith(message)
    assert "canary" not in found[0]


def test_set_changes_an_entry_of_a_table_the_file_gives(tmp_path: Path) -> None:
    given(tmp_path, "symbols:\n  a: {market: CALM}\n  b: {market: WILD}\n")

    config = loaded(tmp_path, {"alpha.symbols.a.lot": "5", "alpha.moods.CALM.depth": "8"})

    assert isinstance(config.tree, Sample)
    assert {name: str(entry.lot) for name, entry in config.tree.alpha.symbols.items()} == {"a": "5", "b": "1"}
    assert [inner.depth for inner in config.tree.alpha.moods.values()] == [8, 7]


# -- sources, rows, hash -------------------------------------------------------------------------------------------


def test_the_source_of_a_value_is_asked_by_its_name(tmp_path: Path) -> None:
    config = loaded(given(tmp_path, "# why\nshare: 0.2\n"))

    assert config.source_of("alpha.share") == f"{tmp_path}/alpha.yaml:2"
    assert config.source_of("alpha.count") == "default"
    with pytest.raises(ConfigError, match=r"there is no setting 'alpha.coutn' \(did you mean alpha.count\?\)"):
        config.source_of("alpha.coutn")


def test_a_row_says_value_meaning_range_and_whether_it_reloads(tmp_path: Path) -> None:
    rows = {
        row.path: row for row in loaded(given(tmp_path, "share: 0.20\nsymbols: {a: {market: WILD}}\n")).as_rows()
    }

    share = rows["alpha.share"]
    assert (share.value, share.description, share.allowed, share.reload, share.secret) == (
        "0.2", "share of equity", "number above 0 to 1", True, False,
    )  # fmt: skip
    assert rows["alpha.ratio"].reload is False
    assert rows["alpha.inner.depth"].reload is True
    assert rows["alpha.inner.label"].reload is False
    assert rows["alpha.moods.WILD.depth"].value == "7"
    assert rows["alpha.symbols.a.market"].value == "WILD"
    assert rows["alpha.hours"].value == "[9, 15]"
    assert rows["alpha.weights"].value == "{}"
    assert rows["beta.token"].value == "null"


def test_a_secret_shows_nowhere(tmp_path: Path) -> None:
    given(tmp_path, beta="token: ${QTS_TOKEN}\n")
    config = loaded(tmp_path, QTS_TOKEN="canary-1234")

    row = next(row for row in config.as_rows() if row.path == "beta.token")
    assert (row.value, row.secret, row.source) == ("***", True, "env QTS_TOKEN")
    assert "canary" not in repr(config)
    assert "canary" not in repr(config.as_rows())


def test_the_hash_is_that_of_the_meaning(tmp_path: Path) -> None:
    plain = loaded(given(tmp_path, "")).hash

    assert len(plain) == 64
    assert loaded(given(tmp_path, "# other words\nshare: 0.500\ntags: ['a']\n")).hash == plain
    assert loaded(tmp_path, {"alpha.share": "0.50"}).hash == plain
    assert loaded(given(tmp_path, "share: 0.51\n")).hash != plain
    assert loaded(given(tmp_path, "inner: {depth: 4}\n")).hash != plain
    assert loaded(given(tmp_path, "name: ''\n")).hash != plain


def test_the_hash_does_not_depend_on_the_order_of_entries(tmp_path: Path) -> None:
    hashes = {
        loaded(given(tmp_path, text)).hash
        for text in (
            "weights: {a: 1, b: 2}\nsymbols: {x: {market: CALM}, y: {market: WILD}}\n",
            "symbols: {y: {market: WILD}, x: {market: CALM}}\nweights: {b: 2, a: 1}\n",
        )
    }

    assert len(hashes) == 1


def test_a_secret_is_no_part_of_the_hash(tmp_path: Path) -> None:
    given(tmp_path, beta="token: ${QTS_TOKEN}\n")

    assert loaded(tmp_path, QTS_TOKEN="one-1").hash == loaded(tmp_path, QTS_TOKEN="two-2").hash


def test_the_error_names_every_problem_on_a_line_of_its_own(tmp_path: Path) -> None:
    given(tmp_path, "share: 7\n", beta="retries: 9\n")

    with pytest.raises(ConfigError) as error:
        load_config(tmp_path, {}, {}, SAMPLE)

    assert str(error.value).replace(f"{tmp_path}/", "").splitlines() == [
        "2 problems in the configuration:",
        "  alpha.yaml:1: alpha.share: '7' is out of range; allowed: number above 0 to 1",
        "  beta.yaml:1: beta.retries: '9' is out of range; allowed: whole number from 0 to 5",
    ]
    assert error.value.exit_code == 2


def test_a_directory_that_cannot_be_listed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(_self: Path) -> object:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", denied)

    assert refused(tmp_path) == [f"{tmp_path}: cannot be listed: Permission denied"]


PIECES = st.sampled_from(
    ["share", "count", "inner", "moods", "symbols", "hours", "tags", "weights", "limit", "name", "CALM", ": ", ":", "\n", "  ",
     "- ", "[", "]", "{", "}", ", ", "'", '"', "\\U99999999", "&a ", "*a", "!!int ", "|", ">", "? ", "---", "%YAML 1.1", "#",
     "null", "~", "yes", "0x1", "1e400", "-", "0.5", "10", "${X}", "\t", "\x85", "\u2028", "삼성", "<<", "="]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@drawn(text=st.lists(PIECES, max_size=25).map("".join) | st.text(max_size=40))
@example(text="%YAML 1." + "9" * 5_000 + "\n---\na: 1\n")
@example(text="share: " + "9" * 5_000 + "\n")
def test_no_text_whatever_breaks_the_reader(text: str) -> None:
    """Whatever a file holds, the answer is values or problems with a line; never another exception."""
    document = parse_document(text, "alpha.yaml")
    lines = (
        text.count("\n") + text.count("\r") + text.count("\x85") + text.count("\u2028") + text.count("\u2029") + 2
    )
    field = SAMPLE.shape.field("alpha")
    assert field is not None

    binder = Binder({})
    if isinstance(document.root, Section):
        binder.bind(field.shape, document.root, Sample().alpha, "alpha")

    for problem in [*document.problems, *binder.problems]:
        assert 1 <= problem.line <= lines
        assert problem.message.isprintable()


class TestTreeOfSettings:
    def test_what_a_configuration_wrote_down_makes_it_again(self) -> None:
        written = load_config(None, {"state.confirmation_cycles": "3", "state.min_hold_days.balanced": "0.5"}, {})
        rows = {row.path: row.value for row in written.as_rows() if row.path.startswith(("state.", "safety."))}

        made = tree_of(rows)

        assert (made.state, made.safety) == (written.tree.state, written.tree.safety)

    def test_what_is_left_out_is_a_default(self) -> None:
        assert tree_of({}) == QtsConfig()

    def test_what_cannot_be_is_refused_by_name(self) -> None:
        with pytest.raises(ConfigError, match=r"state\.confirmation_cycles"):
            tree_of({"state.confirmation_cycles": "0"})
