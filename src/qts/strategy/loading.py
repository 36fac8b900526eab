"""From ``--strategy FILE.py:Class`` to an object that keeps the strategy contract, or a message that helps.

The file is the user's own program and runs with the user's rights; nothing is loaded that was not named.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Final

import msgspec

from qts.capital.contracts import Pool
from qts.errors import ContractError, InputError
from qts.strategy.contracts import Strategy
from qts.strategy.declared import declared_bars, wants_trades
from qts.strategy.hooks import method_problems, undeclared_problems
from qts.strategy.modules import Manifest, declared_files, load_file, manifest_of
from qts.strategy.params import Value, settable_of, unknown_param
from qts.strategy.unavailable import UnavailableStrategy
from qts.strategy.user_code import load_apart

EXAMPLE: Final = "examples/my_first_strategy.py:ThreeInARow"
NO_PARAMS: Final[Mapping[str, str]] = {}
"""Every parameter has its default."""
RAISED_IN_CALL: Final = (Exception, SystemExit, KeyboardInterrupt)
"""As RAISED, for a call of a strategy while the session runs: the first Ctrl-C is a signal that stops it, and what
is raised in a call, by the second or by the strategy itself, is no reason to end without a checkpoint."""
RAISED: Final = (Exception, SystemExit)
"""The edge to the user's program: whatever it raises is its own fault and reported as such. sys.exit() too: else it
would end the command, with 0 for done."""


class StrategySpec(msgspec.Struct, frozen=True):
    """A strategy of a session: FILE.py:Class, and the texts of the parameters that are set, by name."""

    place: str
    params: Mapping[str, str] = {}

    @property
    def identity(self) -> tuple[str, ...]:
        """Return what identifies it: its files and, where some are set, its parameters. Raises InputError."""
        return (fingerprint_of(self.place), *(f"{name}={text}" for name, text in sorted(self.params.items())))


def load_strategy(spec: str, params: Mapping[str, str] = NO_PARAMS) -> Strategy:
    """Load the strategy that ``FILE.py:Class`` names, made with ``params`` alone and checked.

    ``params`` gives values of parameters as texts, by name: declared ones, and other keywords of the constructor
    with a simple default. Raises :class:`~qts.errors.InputError` when the file, the class, its construction or a
    parameter is at fault and :class:`~qts.errors.ContractError` when the object does not keep the contract of a
    strategy.
    """
    return load_apart(_load, manifest_of_spec(spec), params)


def _load(made_of: Manifest, params: Mapping[str, str]) -> Strategy:
    path, class_name = made_of.main, made_of.class_name
    found = getattr(_run_file(made_of), class_name, None)
    if not isinstance(found, type):
        raise InputError(f"{path} has no class {class_name!r}; {_classes_in(path)}")
    _check_files(found, made_of)
    return make_strategy(found, f"{path}:{class_name}", params)


def make_strategy(cls: type, where: str, params: Mapping[str, str] = NO_PARAMS) -> Strategy:
    """Make an object of ``cls`` with ``params`` alone and check it; raises like :func:`load_strategy`."""
    return check_strategy(_construct(cls, where, _parsed(cls, params)), where)


def _parsed(cls: type, params: Mapping[str, str]) -> dict[str, Value]:
    declared = settable_of(cls)
    values = {}
    for name, text in params.items():
        if name not in declared:
            raise InputError(f"--param {name}={text}: {unknown_param(cls.__name__, name, declared)}")
        try:
            values[name] = declared[name].parse(text)
        except InputError as error:
            raise InputError(f"--param {name}={text}: {cls.__name__}.{name} {error}") from None
    return values


def fingerprint_of(spec: str) -> str:
    """Return what identifies the strategy of ``spec``: class and content of its files, not where they lie.

    Raises InputError when there is no such file.
    """
    return manifest_of_spec(spec).fingerprint


def manifest_of_spec(spec: str) -> Manifest:
    """Return every file that the strategy of ``spec`` is made of. Raises InputError when one is missing."""
    return manifest_of(*_parse(spec))


def load_strategies(specs: Sequence[StrategySpec], *, resumed: bool = False) -> list[Strategy]:
    """Load all of them, in order; when a run is ``resumed`` one that fails becomes an ``UnavailableStrategy``.

    Raises ContractError when two have the same name, and like :func:`load_strategy`.
    """
    strategies: list[Strategy] = []
    for spec in specs:
        try:
            strategies.append(load_strategy(spec.place, spec.params))
        except InputError as error:
            if not resumed:
                raise
            strategies.append(UnavailableStrategy(str(error)))
    check_names([one for one in strategies if not isinstance(one, UnavailableStrategy)])
    return strategies


def check_names(strategies: Sequence[Strategy]) -> None:
    """Raise ContractError when two strategies share a name: holdings and checkpoints are kept under it."""
    seen: dict[str, Strategy] = {}
    for strategy in strategies:
        other = seen.setdefault(strategy.name, strategy)
        if other is not strategy:
            raise ContractError(
                f"two strategies are named {strategy.name!r} ({type(other).__name__} and "
                f"{type(strategy).__name__}); give each its own name, holdings are kept under it"
            )


def check_strategy(candidate: object, where: str) -> Strategy:
    """Return ``candidate`` when it keeps the contract, checked to the signatures; raises ContractError if not."""
    problems = [*_attribute_problems(candidate), *method_problems(candidate)]
    if problems:
        raise ContractError(f"{where} is not a strategy: " + "; ".join(problems))
    assert isinstance(candidate, Strategy)
    return candidate


def check_made_without_arguments(cls: type, where: str) -> None:
    """Raise InputError when the constructor of ``cls`` wants arguments."""
    required = [
        parameter.name
        for parameter in _parameters(cls)
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    if required:
        raise InputError(
            f"{where} needs the arguments {', '.join(required)} but is made without any: give them default values"
        )


def _parse(spec: str) -> tuple[Path, str]:
    file, colon, class_name = spec.rpartition(":")
    if not colon or not file or not class_name.isidentifier():
        raise InputError(f"--strategy wants FILE.py:Class, for example {EXAMPLE}, got {spec!r}")
    path = Path(file).expanduser()
    if not path.is_file():
        raise InputError(
            f"there is no strategy file {file!r} (looked in {Path.cwd()}); --strategy wants FILE.py:Class"
        )
    if path.suffix != ".py":
        raise InputError(f"a strategy file ends in .py, got {file!r}")
    return path.resolve(), class_name


def _run_file(made_of: Manifest) -> ModuleType:
    try:
        return load_file(made_of)
    except RAISED as error:
        raise InputError(f"{_place(error, made_of.main)} raised {type(error).__name__}: {error}") from error


def _check_files(cls: type, made_of: Manifest) -> None:
    """Check that ``files`` stands in the text of the file, so that nothing has to run to read it."""
    named = getattr(cls, "files", ())
    if not isinstance(named, tuple | list) or not all(isinstance(name, str) for name in named):
        return  # an attribute of the strategy's own
    if tuple(named) != declared_files(made_of.main, made_of.class_name):
        raise InputError(
            f"{made_of.main}: write {made_of.class_name}.files as plain texts in the class itself, for example "
            'files = ("weights.json",); they are read before anything runs'
        )


def _construct(cls: type, where: str, values: Mapping[str, Value]) -> object:
    check_made_without_arguments(cls, where)
    refused = [name for name in values if not _takes(cls, name)]
    if refused:
        raise InputError(
            f"{where} declares {', '.join(refused)} but its constructor does not take "
            f"{'it' if len(refused) == 1 else 'them'}: derive the class from qts.kit.Strategy, or accept keywords"
        )
    try:
        return cls(**values)
    except RAISED as error:
        file = Path(inspect.getfile(cls)) if cls.__module__ in sys.modules else Path(where)
        raise InputError(
            f"making {where} failed at {_place(error, file)}: {type(error).__name__}: {error}"
        ) from error


def _parameters(cls: type) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(cls).parameters.values())
    except (TypeError, ValueError):  # classes without a readable signature are simply tried
        return []


def _takes(cls: type, name: str) -> bool:
    """Return whether the constructor of ``cls`` takes the keyword ``name``."""
    return any(
        one.kind is one.VAR_KEYWORD
        or (one.name == name and one.kind in (one.KEYWORD_ONLY, one.POSITIONAL_OR_KEYWORD))
        for one in _parameters(cls)
    )


def _attribute_problems(candidate: object) -> list[str]:
    problems = []
    name = getattr(candidate, "name", None)
    if not isinstance(name, str) or not name.strip() or not name.isprintable():
        problems.append(f"name must be a non-empty text, got {name!r}")
    pool = getattr(candidate, "pool", None)
    if not isinstance(pool, Pool):
        allowed = ", ".join(f"Pool.{member.name}" for member in Pool)
        problems.append(f"pool must be one of {allowed}, got {pool!r}")
    symbols = getattr(candidate, "symbols", None)
    if isinstance(symbols, str) or not isinstance(symbols, Sequence):
        problems.append(
            f'symbols must be a list or tuple of symbols (empty: all), for example ("005930",), got {symbols!r}'
        )
    elif wrong := [symbol for symbol in symbols if not isinstance(symbol, str) or not symbol]:
        problems.append(f"symbols must be texts (a code that starts with 0 is no number), got {wrong[0]!r}")
    try:
        trades = wants_trades(candidate)
        if not problems:
            problems += undeclared_problems(candidate, trades=trades, bars=bool(declared_bars(candidate)))
    except ContractError as error:
        problems.append(str(error))
    return problems


def _classes_in(path: Path) -> str:
    """List what the message offers instead: classes written in this file, by its text (it already ran)."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    names = [line[6:].split("(")[0].split(":")[0].strip() for line in lines if line.startswith("class ")]
    return f"its classes are {', '.join(names)}" if names else "it defines no class"


def _place(error: BaseException, path: Path) -> str:
    """Return ``file:line`` inside the user's file when the traceback passes through it."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return f"{path}:{error.lineno}"
    trace, line = error.__traceback__, 0
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    return f"{path}:{line}" if line else str(path)
