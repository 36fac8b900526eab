"""The documents say what is so: commands parse, files and names exist, examples are real, reference is fresh."""

from __future__ import annotations

import argparse
import csv
import dis
import importlib
import json
import re
import shlex
import signal
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, NamedTuple

import pytest

from qts.cli.kill_signals import SIGNALS
from qts.cli.main import STOPPED_BY_USER, build_parser, main
from qts.cli.session import HALTED
from qts.config.loader import LoadedConfig, examine
from qts.config.tree import QTS
from qts.db.datadir import DATABASE_NAME, LOCK_NAME
from qts.db.hybrid import DataSourceMode
from qts.errors import (
    BrokerUnavailable,
    CacheStaleDataError,
    DefectError,
    InputError,
    InvariantBreach,
    MissingExtraError,
    QtsError,
    StateError,
    StorageError,
)
from qts.event.contracts import EventType
from qts.event.payloads import PAYLOAD_TYPES
from qts.execution.contracts import OrderState
from qts.execution.lifecycle import OrderUpdate
from qts.execution.protective.contracts import Origin
from qts.ledger.contracts import BookingKind
from qts.report.reference import reference_pages, stale_pages, write_pages
from qts.report.reference.lists import ASKED_OF, ENTRIES, EXITS, FORCED, TYPES
from qts.report.reference.machines import CAUSES, UPDATES
from qts.report.reference.markdown import NOTICE, diagram, table, type_text
from qts.risk.contracts import Refusal
from qts.risk.rules import ENTRY_RULES, EXIT_RULES, FORCED_EXIT_RULES, Rule
from qts.runtime.control.command_files import DIRECTORY
from qts.runtime.control.kill_switch import STOP_FILES
from qts.runtime.drivers.hang_file import FILE_NAME as HANG_NAME
from qts.runtime.drivers.watchdog import RESTART
from qts.runtime.persistence.session_log import FILE_NAME
from qts.safety.codes import CATALOGUE
from qts.safety.contracts import SafetyCause
from qts.strategy.order_news import OrderStatus

ROOT = Path(__file__).parent.parent
REFERENCE = ROOT / "docs" / "reference"
WRITTEN = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
BY_HAND = [path for path in WRITTEN if path.parent != REFERENCE]
EXAMPLES = {path.read_text(encoding="utf-8"): path for path in (ROOT / "examples").rglob("*.py")}


class Block(NamedTuple):
    """A fenced block of a page: its language and its text."""

    path: Path
    language: str
    text: str

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()


def blocks_of(path: Path) -> list[Block]:
    found = re.findall(r"^```(\w*)\n(.*?)^```$", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return [Block(path, language, text) for language, text in found]


BLOCKS = [block for path in WRITTEN for block in blocks_of(path)]


def prose_of(path: Path) -> str:
    """A page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def shell_lines() -> list[tuple[str, str]]:
    return [(name_of(block.path), line) for block in BLOCKS if block.language == "sh" for line in block.lines]


def commands() -> dict[str, argparse.ArgumentParser]:
    (choices,) = [a.choices for a in build_parser()._actions if isinstance(a, argparse._SubParsersAction)]
    return dict(choices)


# Commands

OF_SHELL = {".", "cd", "chmod", "git", "mkdir", "touch"}
"""Commands that have nothing of ours to check."""


@pytest.mark.parametrize(("page", "line"), [pair for pair in shell_lines() if "qts " in pair[1]])
def test_every_qts_command_of_a_page_parses_and_its_settings_are_accepted(page: str, line: str) -> None:
    words = shlex.split(line, comments=True)
    if words[0] == "pip" or words[1:3] == ["-m", "pip"]:
        return
    assert words[0] in ("qts", ".venv/bin/qts"), f"{page}: {line}"

    args = build_parser().parse_args(words[1:])

    assert callable(args.func)
    overrides = dict(pair.split("=", 1) for pair in getattr(args, "set", []))
    assert isinstance(examine(None, overrides, {}), LoadedConfig)
    for strategy in [*getattr(args, "strategy", []), *([args.place] if hasattr(args, "place") else [])]:
        path, _, name = strategy.rpartition(":")
        assert f"class {name}" in (ROOT / path).read_text(encoding="utf-8")
    for code in getattr(args, "code", []):
        assert code in CATALOGUE


@pytest.mark.parametrize(("page", "line"), [pair for pair in shell_lines() if "qts " not in pair[1]])
def test_every_other_command_of_a_page_names_a_verb_a_file_or_an_extra_that_exists(page: str, line: str) -> None:
    words = shlex.split(line)
    if words[0] == "make":
        assert words[1] in make_verbs()
    elif words[:2] == ["python", words[1]] and words[1].endswith(".py"):
        assert (ROOT / words[1]).is_file()
    elif words[:2] == ["python", "-m"] and words[2].startswith("tests."):
        assert (ROOT / words[2].replace(".", "/")).exists()
    elif "pip" in words:
        known = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        extras = re.findall(r"\[(\w+)\]", line)
        assert set(extras) <= known["optional-dependencies"].keys(), line
    elif words[0] == "export":
        name = words[1].partition("=")[0]
        assert any(name in path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py"))
    elif words[0] == "touch" and not words[1].startswith("~"):
        assert Path(words[1]).parent.name == DIRECTORY
        assert Path(words[1]).name in STOP_FILES
    elif words[0] == "kill":
        assert signal.Signals[f"SIG{words[1][1:]}"] in SIGNALS
    elif words[0] not in OF_SHELL:
        assert words[:3] == ["python3", "-m", "venv"], f"{page}: no test checks {line!r}"


@pytest.mark.parametrize("path", [*WRITTEN, *sorted((ROOT / "src").rglob("*.py"))], ids=name_of)
def test_nothing_tells_anyone_to_install_the_package_of_other_authors(path: Path) -> None:
    assert not re.search(r"pip install[^\n`]*\bqts(?!-runtime)\b", path.read_text(encoding="utf-8"))


def test_the_page_about_the_report_names_every_key_of_the_result(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prices = tmp_path / "prices.csv"
    prices.write_text("ts,symbol,bid,ask\n2026-01-23T09:01:00+09:00,005930,151900,152000\n", encoding="utf-8")
    assert main(["replay", str(prices), "--data-dir", str(tmp_path / "run"), "--json"]) == 0
    given = json.loads(capsys.readouterr().out).keys()

    _, _, section = (ROOT / "docs/concepts/report.md").read_text(encoding="utf-8").partition("## The JSON object")
    named = {
        name for row in re.findall(r"^\| (`.*?`) \|", section, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    }

    assert named == given


@pytest.mark.parametrize("path", WRITTEN, ids=name_of)
def test_every_command_named_in_the_text_exists(path: Path) -> None:
    for words in re.findall(r"`qts ((?:[a-z][a-z-]* ?)+)", prose_of(path)):
        parser: argparse.ArgumentParser = build_parser()
        for word in words.split():
            choices = [a.choices for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
            assert choices, f"{name_of(path)}: `qts {words}`"
            assert word in choices[0], f"{name_of(path)}: `qts {words}`"
            parser = choices[0][word]
    for verb in re.findall(r"`make (\w+)`", prose_of(path)):
        assert verb in make_verbs()
    for option in re.findall(r"`(--[a-z-]+)", prose_of(path)):
        assert option in options_of(commands().values()), f"{name_of(path)}: {option}"


def test_contributing_lists_every_make_verb() -> None:
    listed = re.findall(r"^\| `make (\w+)`", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.MULTILINE)

    assert sorted(listed) == sorted(make_verbs())


def make_verbs() -> list[str]:
    return re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


def options_of(parsers: Any) -> set[str]:
    found: set[str] = set()
    for parser in parsers:
        for action in parser._actions:
            found.update(action.option_strings)
            if isinstance(action, argparse._SubParsersAction):
                found |= options_of(action.choices.values())
    return found


# Files, links, names


@pytest.mark.parametrize("path", WRITTEN, ids=name_of)
def test_every_link_leads_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", prose_of(path)):
        if target.startswith("https://"):
            continue
        file, _, anchor = target.partition("#")
        found = (path.parent / file).resolve() if file else path
        assert found.exists(), f"{name_of(path)}: {target}"
        if anchor:
            assert anchor in anchors_of(found), f"{name_of(path)}: {target}"


def anchors_of(path: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", prose_of(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", WRITTEN, ids=name_of)
def test_every_file_named_in_the_text_exists(path: Path) -> None:
    for named in re.findall(r"`((?:src|tests|config|examples|docs|bench|\.ci)/[\w./-]*)`", prose_of(path)):
        assert (ROOT / named).exists(), f"{name_of(path)}: {named}"


@pytest.mark.parametrize("path", WRITTEN, ids=name_of)
def test_every_module_class_and_function_named_in_the_text_exists(path: Path) -> None:
    for dotted in re.findall(r"`(qts(?:\.\w+)+)", prose_of(path)):
        if not dotted.startswith("qts.sqlite"):  # a file
            resolve(dotted)


def resolve(dotted: str) -> Any:
    parts = dotted.split(".")
    for count in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        for name in parts[count:]:
            found = getattr(found, name)
        return found
    raise AssertionError(f"there is no {dotted}")


@pytest.mark.parametrize("path", BY_HAND, ids=name_of)
def test_every_setting_named_in_the_text_exists(path: Path) -> None:
    for dotted in re.findall(rf"`((?:{'|'.join(QTS.sections)})\.[a-z_][a-z_.]*)`", prose_of(path)):
        if dotted.endswith(".yaml"):
            continue
        shape = QTS.shape
        for part in dotted.split("."):
            field = shape.field(part)
            assert field is not None, f"{name_of(path)}: {dotted}"
            shape = field.shape


@pytest.mark.parametrize("path", BY_HAND, ids=name_of)
def test_every_code_refusal_event_and_order_state_named_in_the_text_exists(path: Path) -> None:
    text = prose_of(path)
    assert set(re.findall(r"\b(?:FS|GR|AN)\d{3}\b", text)) <= CATALOGUE.keys()
    words = set(re.findall(r"`([A-Z]+(?:_[A-Z]+)+)`", text))
    of_servers = {"PG_BINDIR", "TIMESCALE_DSN", "DATA_SOURCE_MODE"}  # variables of the environment
    shouted = {word for word in words - of_servers if not word.startswith("QTS_")}  # variables of the environment
    rules = {"ENTRY_RULES", "EXIT_RULES", "FORCED_EXIT_RULES"}
    named = (Refusal, EventType, OrderState, OrderStatus, BookingKind, DataSourceMode, Origin)
    known = {name for kind in named for name in kind.__members__} | rules
    assert shouted <= known, name_of(path)


def test_the_glossary_has_each_word_once_and_its_korean() -> None:
    text = (ROOT / "docs/concepts/glossary.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (?!word|---)(.+?) \| (.+?) \| (.+?) \|$", text, re.MULTILINE)

    words = [word for word, _, _ in rows]
    assert len(words) == len(set(words)) > 90
    assert all(re.search("[가-힣]", korean) and meaning[-1] in ".?" for _, korean, meaning in rows)


def test_the_requirements_are_named_once() -> None:
    text = (ROOT / "docs/concepts/requirements.md").read_text(encoding="utf-8")
    names = re.findall(r"^\| `([a-z0-9-]+)` \|", text, re.MULTILINE)

    assert len(names) == len(set(names)) > 60


# Examples


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "python"], ids=lambda b: name_of(b.path))
def test_every_program_shown_is_an_example_file_to_the_letter(block: Block) -> None:
    assert block.text in EXAMPLES


def test_the_readme_shows_backtests_then_a_strategy_on_quotes_and_they_are_short() -> None:
    shown = [block for block in blocks_of(ROOT / "README.md") if block.language == "python"]

    names = [EXAMPLES[block.text].name for block in shown]
    assert names == ["backtest_in_python.py", "sma_target.py", "my_first_strategy.py"]
    for block, most in zip(shown, (12, 18, 30), strict=True):
        code = [line for line in block.text.split('"""')[2].splitlines() if line.strip()]
        assert len(code) <= most


def test_both_readmes_show_the_same_commands_programs_pages_and_picture() -> None:
    english, korean = ROOT / "README.md", ROOT / "README.ko.md"

    assert [b[1:] for b in blocks_of(english)] == [b[1:] for b in blocks_of(korean)]
    in_english = {link.replace(".ko.png", ".png").replace(".ko.md", ".md") for link in links_of(korean)}
    assert links_of(english) - {"README.ko.md"} == in_english - {"README.md"}
    assert "docs/images/report.png" in links_of(english)


def links_of(path: Path) -> set[str]:
    return set(re.findall(r"\]\(([^)]+)\)", prose_of(path)))


def test_the_csv_of_the_replay_guide_trades_with_the_first_strategy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (shown,) = [b for b in blocks_of(ROOT / "docs/guides/replay-your-file.md") if b.language == "csv"]
    prices = tmp_path / "prices.csv"
    prices.write_text(shown.text, encoding="utf-8")
    strategy = f"{ROOT / 'examples' / 'my_first_strategy.py'}:ThreeInARow"

    code = main(["replay", str(prices), "--strategy", strategy, "--json", "--data-dir", str(tmp_path / "run")])

    result = json.loads(capsys.readouterr().out)
    assert code == 0
    assert result["rows"] == len(list(csv.DictReader(shown.lines)))
    assert result["rows_refused"] == {}
    assert result["fills"] >= 2  # bought after three falling prices, sold after three rising ones
    assert {path.name for path in (tmp_path / "run").iterdir()} <= listed_files()


def listed_files() -> set[str]:
    """The files that the runbook's table of the data directory names."""
    text = prose_of(ROOT / "docs/operations/runbook.md")
    table_text = text.partition("## The data directory")[2].partition("\n## ")[0]
    return set(re.findall(r"`([\w.-]+)`", table_text))


def test_the_runbook_names_every_file_of_a_data_directory_and_every_exit_code() -> None:
    assert {DATABASE_NAME, LOCK_NAME, FILE_NAME, HANG_NAME} <= listed_files()

    text = prose_of(ROOT / "docs/operations/runbook.md")
    listed = {int(code) for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)}
    assert listed == {0, STOPPED_BY_USER, RESTART, HALTED, *(error.exit_code for error in all_errors(QtsError))}


def test_the_runbook_says_what_each_kind_of_error_means_by_its_exit_code() -> None:
    words = {
        InputError: "unusable input",
        StateError: "another run in the data directory",
        MissingExtraError: "an option",
        StorageError: "store",
        CacheStaleDataError: "cache",
        BrokerUnavailable: "broker",
        DefectError: "unexpected error",
        InvariantBreach: "invariant",
    }
    ours = {kind for kind in QtsError.__subclasses__() if kind.__module__ == QtsError.__module__}
    assert set(words) == ours
    text = prose_of(ROOT / "docs/operations/runbook.md").partition("## Exit codes")[2].partition("\n## ")[0]
    rows = {int(code): row for code, row in re.findall(r"^\| (\d+) \| (.*)$", text, re.MULTILINE)}
    assert [kind.__name__ for kind, word in words.items() if word not in rows[kind.exit_code]] == []


def all_errors(error: type[QtsError]) -> Iterator[type[QtsError]]:
    yield error
    for child in error.__subclasses__():
        yield from all_errors(child)


# The house


def test_the_map_of_the_house_is_the_one_that_the_linter_checks() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = project["tool"]["importlinter"]["contracts"]
    (shown,) = [b for b in blocks_of(ROOT / "ARCHITECTURE.md") if b.language == "text"]

    assert shown.lines == contract["layers"]


def test_the_map_of_the_house_has_every_room_and_no_other() -> None:
    rows = re.findall(r"^\| (`qts\..*?) \|", prose_of(ROOT / "ARCHITECTURE.md"), re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`qts\.(\w+)`", row)}
    package = ROOT / "src" / "qts"
    rooms = {
        p.stem
        for p in package.iterdir()
        if p.name != "__init__.py" and (p.suffix == ".py" or (p / "__init__.py").exists())
    }

    assert named == rooms


def test_the_changelog_knows_the_version_of_the_package() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    headings = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)

    assert headings[0] == "Unreleased"
    assert version in headings


# The reference


def test_the_reference_pages_are_those_that_the_code_makes(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["docs", "--check", "--out", str(REFERENCE)])

    assert code == 0, capsys.readouterr().out


def test_check_names_a_page_that_is_missing_changed_or_left_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["docs", "--out", str(tmp_path)]) == 0
    assert main(["docs", "--check", "--out", str(tmp_path)]) == 0
    (tmp_path / "codes.md").unlink()
    (tmp_path / "orders.md").write_text("edited", encoding="utf-8")
    (tmp_path / "old.md").write_text(f"# Old\n\n{NOTICE}\n", encoding="utf-8")
    capsys.readouterr()

    assert main(["docs", "--check", "--out", str(tmp_path)]) == 1

    told = capsys.readouterr().out
    assert [name for name in ("codes.md", "old.md", "orders.md") if name in told] == [
        "codes.md",
        "old.md",
        "orders.md",
    ]
    assert len(told.splitlines()) == 3


def test_writing_changes_only_what_differs_and_leaves_pages_of_others_alone(tmp_path: Path) -> None:
    pages = {"one.md": "# One\n", "two.md": "# Two\n"}
    (tmp_path / "two.md").write_text("# Two\n", encoding="utf-8")
    (tmp_path / "mine.md").write_text("# Mine\n", encoding="utf-8")
    (tmp_path / "gone.md").write_text(f"# Gone\n\n{NOTICE}\n", encoding="utf-8")

    changed = write_pages(tmp_path, pages)

    assert sorted(path.name for path in changed) == ["gone.md", "one.md"]
    assert stale_pages(tmp_path, pages) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.md", "one.md", "two.md"]


def test_every_event_payload_code_setting_and_refusal_has_its_line() -> None:
    pages = reference_pages(commands())

    for kind in EventType:
        assert f"| `{kind.value}` |" in pages["events.md"]
        assert all(f"### {payload.__name__}\n" in pages["events.md"] for payload in PAYLOAD_TYPES[kind])
    assert all(f"| `{code}` |" in pages["codes.md"] for code in CATALOGUE)
    assert all(f"| `{reason.value}` |" in pages["refusals.md"] for reason in Refusal)
    assert (
        "| `risk.symbol_weight_limit` | number | `0.15` | number above 0 to 1 | yes, higher once confirmed |"
        in pages["configuration.md"]
    )
    assert "| `state.default_state` | choice | `BALANCED` |" in pages["configuration.md"]
    assert all(f"`qts {name}" in pages["command-line.md"] for name in commands())


def test_the_tables_of_words_are_total() -> None:
    assert CAUSES.keys() == set(SafetyCause)
    assert UPDATES.keys() == set(OrderUpdate)
    assert ASKED_OF.keys() == set(Refusal)
    assert {QTS.shape.kind} <= TYPES.keys()


def test_the_order_page_draws_every_change_of_the_table() -> None:
    page = reference_pages(commands())["orders.md"]

    assert "    [*] --> INTENT" in page
    assert "    WORKING --> PARTIAL: PARTIALLY_FILLED" in page
    assert "    REJECTED --> FILLED_LATE: PARTIALLY_FILLED, FILLED" in page
    assert "WORKING --> WORKING" not in page
    assert all(f"| **{state.value}** |" in page for state in OrderState)


@pytest.mark.parametrize(
    ("rules", "who"), [(ENTRY_RULES, ENTRIES), (EXIT_RULES, EXITS), (FORCED_EXIT_RULES, FORCED)]
)
def test_who_is_asked_what_is_what_the_gate_does(rules: tuple[Rule, ...], who: str) -> None:
    before_the_rules = {Refusal.UNKNOWN_SYMBOL}
    beside_the_gate = {Refusal.BELOW_STATE_THRESHOLD} if who == ENTRIES else set()
    beside_the_gate |= {Refusal.NOT_TAKEN_BY_BROKER}
    if who != FORCED:
        beside_the_gate |= {Refusal.SIGNALS_PAUSED, Refusal.WITHDRAWN}
    given = {reason for rule in rules for reason in reasons_in(rule)}

    assert {r for r, asked in ASKED_OF.items() if who in asked} == given | before_the_rules | beside_the_gate


def reasons_in(rule: Rule) -> set[Refusal]:
    """The refusals that a rule of the gate names, its private helpers included."""
    assert isinstance(rule, FunctionType)
    names = names_in(rule.__code__)
    helpers = [rule.__globals__[n].__code__ for n in names if n.startswith("_") and n in rule.__globals__]
    names |= {name for code in helpers for name in names_in(code)}
    return {Refusal[name] for name in names & Refusal.__members__.keys()}


def names_in(code: CodeType) -> set[str]:
    return {i.argval for i in dis.get_instructions(code) if isinstance(i.argval, str)}


def test_a_table_keeps_bars_tags_and_line_ends_inside_their_cell() -> None:
    made = table(("a", "b"), [("x|y", "one\ntwo"), ("<run>", "`<run>`")])

    assert made.splitlines() == ["| a | b |", "| --- | --- |", "| x\\|y | one two |", "| &lt;run> | `<run>` |"]


def test_causes_with_the_same_way_share_an_arrow() -> None:
    assert diagram([("A", "B", "one"), ("A", "C", "two"), ("A", "B", "three")], "A").splitlines()[2:5] == [
        "    [*] --> A",
        "    A --> B: one, three",
        "    A --> C: two",
    ]


def test_types_are_told_in_words() -> None:
    assert type_text(int | None) == "int or None"
    assert type_text(tuple[str, ...]) == "list of str"
    assert type_text(tuple[int, str]) == "(int, str)"
    assert type_text(dict[str, int | None]) == "table from str to int or None"
