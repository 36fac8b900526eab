"""House rules a machine can check."""

from __future__ import annotations

import ast
import random
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src" / "qts"
TESTS = Path(__file__).parent
FILES = sorted(SRC.rglob("*.py"))
ALL = [*FILES, *sorted(TESTS.rglob("*.py"))]
LONG_FILE = 400
"""Lines from which on a file has to say in one line which one concept it is the room of."""

MAY_READ_TIME = {"clock.py"}
MAY_RANDOMISE = {"ids.py"}
MAY_CHOOSE = {"runtime/kernel.py", "runtime/wiring/"}
IMPLEMENTATIONS = {
    "AccountMetrics", "DemoFeed", "Gateway", "GroupCommitWriter", "IndexMetrics", "InlineWriter",
    "NotSimulated", "Portfolio", "RewindAndReplay", "RollForward", "Scalp", "SimExchange", "SqliteStore", "Swing",
    "SyntheticFeed", "TwoEma", "open_feed",
}  # fmt: skip
MAY_THREAD = {"clock.py", "event/"}
"""Threads, processes and sleeps belong to the machine of events; time and randomness have one seam each."""
MAY_STORE_ON_A_THREAD = {"runtime/persistence/store_writer.py", "db/sqlite_adapter.py"}
MAY_START_THREADS = {"threads.py"}  # for all of them: what is said where there is room for none
MAY_FOLLOW = {
    "broker/gateway/", "market/day_record.py",
    "db/follower.py", "db/ages.py", "db/sheets/call_thread.py", "db/ticks/on_thread.py", "runtime/recording/",
    "runtime/caching/publisher.py",
}  # fmt: skip
"""What waits for a server, a broker or the disk of a record must not wait on the loop: it has its own thread."""
MAY_RUN_TRIALS = {"search/local_pool.py"}
"""The backtests of a search run in processes of their own, outside of any session."""
MAY_WAIT_ASIDE = {"runtime/drivers/standard_output.py", "runtime/drivers/watchdog.py"}
"""What waits for a reader who may never come must not wait on the loop, and who watches it must not be on it."""
MONEY = ("money.py", "ledger/", "capital/", "market/depth_book.py", "execution/")

ENGINES = {f"{name}/" for name in ("safety", "state", "capital", "strategy", "risk", "execution", "ledger")}
MAY_OPEN_FILES = {"strategy/loading.py", "strategy/modules.py", "state/backtest.py", "state/store.py"}
FILE_CALLS = {"open", "read_text", "write_text", "read_bytes", "write_bytes", "unlink", "mkdir"}

TIME = {
    "time.time",
    "time.time_ns",
    "time.monotonic",
    "time.monotonic_ns",
    "time.perf_counter",
    "time.perf_counter_ns",
    "datetime.now",
    "datetime.utcnow",
    "datetime.today",
    "date.today",
    "datetime.datetime.now",
    "datetime.date.today",
}
RANDOM = {"uuid.uuid1", "uuid.uuid4", "uuid4", "os.urandom", "random.SystemRandom"}
RANDOM_FUNCTIONS = {name for name in dir(random) if name.islower() and callable(getattr(random, name))}
TURNS = {
    "anew": "again",
    "appointment": "the time, the schedule",
    "anybody": "anyone, or name who",
    "desk": "name what it is: the book, the rig, the session",
    "door": "the entry point, the boundary",
    "duty": "the task, what it is responsible for",
    "for ever": "without end, permanently",
    "heard of": "received, reported",
    "in the same breath": "in the same step",
    "in vain": "without success",
    "nobody": "no one, or say it actively and name who",
    "nothing but": "only",
    "of its own accord": "by itself",
    "overstay": "overrun, exceed",
    "once more": "again",
    "reckon": "compute, count",
    "seat": "the place, the entry",
    "somebody": "someone, or name who",
    "stand still": "make no progress, hang",
    "stands still": "makes no progress, hangs",
    "stood still": "made no progress, hung",
    "tally": "count, total",
    "tallies": "counts, totals",
    "talk": "connection, exchange",
    "to and fro": "both ways",
    "whoever": "the caller, the operator, …: name who",
}
"""Colloquial turns and retired names, each with what to write in its place: in prose, names and messages alike."""
KEPT = re.compile(
    r"\"desks\"|\"overstays\"|\blatency_overstays\b|\bqts_handler_overstays\b|\bqts_handler_longest_overstay_seconds\b"
)
"""Keys and metrics that keep their names for readers of earlier results and checkpoints."""
TURN = re.compile(
    r"(?<![a-z])(" + "|".join(turn.replace(" ", r"[\s_]+") for turn in TURNS) + r")(?:s|ed|ing)?(?![a-z])", re.I
)
WRITTEN = ("src", "tests", "docs", "bench", "examples", "lint", "config")
CITATION = re.compile(
    r"\bspec(?:ification|s)? ?\d|\bspec (?:kis|krx)\b|\bfault catalogue\b|\btraps? \d"
    r"|\binvariants?[ -]\d|\binv\. ?\d"
    r"|\b(?:BR|CF|DB|MD|PR|Q|RD|SC|SEC|SH|WEB)-?\d\d\b",
    re.I,
)
"""What a reader of the repository cannot open: docs/concepts/requirements.md has the names to use in its place."""

SLEEPS = {"time.sleep", "asyncio.sleep"}
THREADS = {"threading", "multiprocessing", "concurrent", "_thread", "subprocess"}


def where(path: Path) -> str:
    root = SRC if path.is_relative_to(SRC) else TESTS.parent
    return path.relative_to(root).as_posix()


def allowed(path: Path, places: set[str]) -> bool:
    name = where(path)
    return any(name == place or (place.endswith("/") and name.startswith(place)) for place in places)


def dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        head = dotted(node.value)
        return f"{head}.{node.attr}" if head else ""
    return ""


def uses(path: Path) -> Iterator[tuple[int, str]]:
    """Every dotted name the file mentions, and every ``module.name`` it imports by name."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Attribute | ast.Name):
            name = dotted(node)
            if name:
                yield node.lineno, name
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            for alias in node.names:
                yield node.lineno, f"{node.module}.{alias.name}"


def imports(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.lineno, node.module


def imported_names(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield node.lineno, alias.name


def comments(path: Path) -> Iterator[tuple[int, str]]:
    with tokenize.open(path) as file:
        for token in tokenize.generate_tokens(file.readline):
            if token.type == tokenize.COMMENT:
                yield token.start[0], token.string


def test_there_is_something_to_check() -> None:
    assert len(FILES) > 100


def test_time_is_read_in_one_place() -> None:
    offences = [
        f"{where(path)}:{line}: {name}"
        for path in FILES
        if not allowed(path, MAY_READ_TIME)
        for line, name in uses(path)
        if name in TIME
    ]
    assert offences == [], "take a qts.clock.Clock"


def test_randomness_enters_in_one_place() -> None:
    offences = [
        f"{where(path)}:{line}: {name}"
        for path in FILES
        if not allowed(path, MAY_RANDOMISE)
        for line, name in uses(path)
        if name in RANDOM or (name.startswith("random.") and name.removeprefix("random.") in RANDOM_FUNCTIONS)
    ]
    assert offences == [], "take a random.Random from qts.ids.seeded"


def test_only_kernel_and_wiring_say_which_implementation_stands_behind_a_port() -> None:
    offences = [
        f"{where(path)}:{line}: {name}"
        for path in FILES
        if where(path).startswith(("runtime/", "cli/", "report/")) and not allowed(path, MAY_CHOOSE)
        for line, name in imported_names(path)
        if name in IMPLEMENTATIONS
    ]
    assert offences == []


def test_every_method_of_a_port_says_what_it_does() -> None:
    silent = [
        f"{where(path)}:{method.lineno}: {port.name}.{method.name}"
        for path in FILES
        for port in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(port, ast.ClassDef) and any("Protocol" in ast.unparse(base) for base in port.bases)
        for method in port.body
        if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef) and not ast.get_docstring(method)
    ]
    assert silent == []


def test_nothing_sleeps_but_the_clock_and_the_machine_of_events() -> None:
    offences = [
        f"{where(path)}:{line}: {name}"
        for path in FILES
        if not allowed(path, MAY_THREAD)
        for line, name in uses(path)
        if name in SLEEPS and not (name == "asyncio.sleep" and _sleeps_zero(path, line))
    ]
    assert offences == []


def _sleeps_zero(path: Path, line: int) -> bool:
    """``asyncio.sleep(0)`` gives others a turn; it does not wait."""
    return "asyncio.sleep(0)" in path.read_text("utf-8").splitlines()[line - 1]


def test_threads_and_processes_belong_to_the_machine_of_events() -> None:
    offences = [
        f"{where(path)}:{line}: {name}"
        for path in FILES
        if not allowed(
            path,
            MAY_THREAD | MAY_STORE_ON_A_THREAD | MAY_START_THREADS | MAY_WAIT_ASIDE | MAY_FOLLOW | MAY_RUN_TRIALS,
        )
        for line, name in imports(path)
        if name.split(".")[0] in THREADS
    ]
    assert offences == []


def test_engines_open_no_files_but_in_the_modules_for_them() -> None:
    offences = [
        f"{where(path)}:{node.lineno}: {ast.unparse(node.func)}"
        for path in FILES
        if allowed(path, ENGINES) and not allowed(path, MAY_OPEN_FILES)
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call)
        and (dotted(node.func) == "open" or getattr(node.func, "attr", "") in FILE_CALLS)
    ]
    assert offences == []


def _is_money(path: Path) -> bool:
    name = where(path)
    return any(name == place or (place.endswith("/") and name.startswith(place)) for place in MONEY)


def test_no_binary_float_in_money() -> None:
    offences = []
    for path in FILES:
        if not _is_money(path) or path.name == "config.py":
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and dotted(node.func) == "float":
                offences.append(f"{where(path)}:{node.lineno}: float(…)")
            if isinstance(node, ast.Constant) and isinstance(node.value, float):
                offences.append(f"{where(path)}:{node.lineno}: {node.value!r}")
            annotation = getattr(node, "annotation", None) or getattr(node, "returns", None)
            if annotation is not None and "float" in ast.unparse(annotation):
                offences.append(f"{where(path)}:{node.lineno}: {ast.unparse(annotation)}")
    assert offences == []


def test_a_long_file_names_its_one_concept_in_its_first_line() -> None:
    """However long a file is, it is one room when one sentence on its first line says what it is about."""
    vague = [where(path) for path in ALL if _lines(path) > LONG_FILE and not _summary_in_one_line(path)]
    assert vague == [], "say in one line what it is about; what does not belong to that gets a room of its own"


def _lines(path: Path) -> int:
    return len(path.read_text("utf-8").splitlines())


def _summary_in_one_line(path: Path) -> bool:
    summary = (ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "").partition("\n\n")[0]
    return bool(summary) and "\n" not in summary and summary.endswith(".")


def test_nothing_is_left_for_later() -> None:
    left = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
    offences = [
        f"{where(path)}:{line}: {text.strip()}"
        for path in ALL
        if path != Path(__file__)
        for line, text in enumerate(path.read_text("utf-8").splitlines(), 1)
        if left.search(text)
    ]
    assert offences == []


def _written() -> Iterator[tuple[str, str]]:
    """Yield name and text of everything that people read, but for this file."""
    root = TESTS.parent
    found = [*root.glob("*.md"), *root.glob("*.toml"), root / "Makefile"]
    kinds = ("*.py", "*.md", "*.yaml", "*.toml", "*.sql")
    found += [path for folder in WRITTEN for kind in kinds for path in (root / folder).rglob(kind)]
    for path in sorted(found):
        if path != Path(__file__):
            yield path.relative_to(root).as_posix(), path.read_text("utf-8")


def _line_of(text: str, found: re.Match[str]) -> int:
    return text.count("\n", 0, found.start()) + 1


def test_words_are_those_of_the_field_and_of_today() -> None:
    offences = [
        f"{name}:{_line_of(text, found)}: {found[0]!r}: {TURNS[_plain(found[1])]}"
        for name, text in _written()
        if name != "CHANGELOG.md"
        for found in TURN.finditer(_words(text))
    ]
    assert offences == []


def test_no_text_is_cited_that_a_reader_cannot_open() -> None:
    offences = [
        f"{name}:{_line_of(text, found)}: {found[0]!r}"
        for name, text in _written()
        for found in CITATION.finditer(text)
        if name != "CHANGELOG.md" or "invariant" not in found[0]  # releases name those of the reference by number
    ]
    assert offences == [], "say the reason, or use a name of docs/concepts/requirements.md"


def _words(text: str) -> str:
    """``text`` with the words of CamelCase apart and without the names that are kept; lines stay where they are."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", KEPT.sub("", text))


@pytest.mark.parametrize("name", ["a_desk", "OverstayView", "seats", "heard_of", "stood still", "StoodStill"])
def test_a_retired_word_is_found_in_every_spelling(name: str) -> None:
    assert TURN.search(_words(f"class {name}: ...")) is not None


def test_a_name_that_is_kept_is_not_found() -> None:
    assert TURN.search(_words('state["desks"], values.latency_overstays, incrementally, Seattle')) is None


@pytest.mark.parametrize("text", ["BR-05", "BR05", "inv. 10", "invariant-10", "invariants 3", "trap 14", "spec 09"])
def test_a_citation_is_found_in_every_spelling(text: str) -> None:
    assert CITATION.search(f"see {text} for why") is not None


def _plain(turn: str) -> str:
    return re.sub(r"[\s_]+", " ", turn).lower()


def test_a_broad_except_gives_its_reason() -> None:
    offences = []
    for path in FILES:
        text = path.read_text("utf-8")
        said = dict(comments(path))
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.ExceptHandler):
                continue
            caught = {dotted(one) for one in getattr(node.type, "elts", [node.type]) if one is not None}
            if node.type is not None and not caught & {"Exception", "BaseException"}:
                continue
            if _raises_again(node):
                continue
            reason = re.sub(r"#\s*noqa:\s*[A-Z0-9, ]+", "", said.get(node.lineno, "")).strip(" -#")
            if len(reason) < 10:
                offences.append(f"{where(path)}:{node.lineno}")
    assert offences == [], "say why everything is caught here"


def _raises_again(handler: ast.ExceptHandler) -> bool:
    """A clean-up that ends with a bare ``raise`` hides nothing."""
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def test_only_the_command_line_prints() -> None:
    offences = [
        f"{where(path)}:{node.lineno}"
        for path in FILES
        if not allowed(path, {"cli/"})
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and dotted(node.func) == "print"
    ]
    assert offences == []


def test_nothing_is_pickled_evaluated_or_loaded_unsafely() -> None:
    forbidden_imports = {"pickle", "marshal", "shelve", "dill", "cloudpickle"}
    forbidden_calls = {"eval", "exec", "yaml.load", "yaml.unsafe_load", "yaml.full_load"}
    offences = [
        f"{where(path)}:{line}: {name}"
        for path in FILES
        for line, name in imports(path)
        if name.split(".")[0] in forbidden_imports
    ]
    offences += [
        f"{where(path)}:{node.lineno}: {dotted(node.func)}"
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and dotted(node.func) in forbidden_calls
    ]
    assert offences == []


def test_every_module_says_why_it_exists() -> None:
    silent = [
        where(path)
        for path in FILES
        if path.read_text("utf-8").strip() and not ast.get_docstring(ast.parse(path.read_text("utf-8")))
    ]
    assert silent == []


def test_no_rooms_without_a_name() -> None:
    nameless = {"utils", "util", "helpers", "helper", "common", "shared", "base", "misc", "enhanced", "stuff"}
    assert [where(path) for path in FILES if path.stem in nameless] == []


def test_every_folder_of_tests_is_a_package() -> None:
    folders = {path.parent for path in TESTS.rglob("*.py")}
    assert [where(folder) for folder in sorted(folders) if not (folder / "__init__.py").exists()] == []
