"""A plugin of pytest that imports and collects once, then runs the tests of each mutant in a fork of that process.

A fork puts the code of the mutated function in the place of the loaded one and runs the tests that reach its lines,
those that killed another mutant of the function first, then the quickest, until one fails.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import resource
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FunctionType

import coverage
import pytest

from qts import money
from tests.mutation.mutants import SWAPPED, Mutant

PASSED, FAILED, NO_CODE = 0, 1, 2
NONE, KILLED, SURVIVED, UNREACHED = "no code", "killed", "survived", "no test"
MEMORY = 8 << 30
"""Bytes of addresses a fork may have: a loop without an end ends."""


class Forks:
    """Tries mutants where pytest would run the collected tests.

    A mutant has survived after ``seconds`` of tests, as long as they take unmutated. ``results`` names for each
    what became of it.
    """

    def __init__(
        self, root: Path, modules: list[str], mutants: list[Mutant], seconds: float, scratch: Path
    ) -> None:
        self._root = root
        self._modules = modules
        self._mutants = mutants
        self._seconds = seconds
        self._scratch = scratch
        self.results: list[tuple[Mutant, str]] = []
        self._killers: dict[tuple[str, str], list[int]] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self) -> None:
        """Let properties draw the same examples for every mutant; the test modules are not imported yet."""
        from hypothesis import settings  # pytest warns where it was imported before it began

        settings.register_profile("mutants", settings.get_profile("patient"), derandomize=True, database=None)
        settings.load_profile("mutants")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run all tests once, then those of each mutant."""
        if session.testsfailed:
            raise session.Interrupted("the tests cannot be collected")
        tests = self._tests_by_line(session)
        functions = _functions(self._root)
        began = time.monotonic()
        for n, mutant in enumerate(self._mutants):
            what = self._try(session, mutant, tests, functions)
            self.results.append((mutant, what))
            if what != KILLED:
                where = f"{mutant.module}:{mutant.first}"
                print(f"{what:9} {where} {mutant.function}\n    {mutant.line}\n    {mutant.mutated}", flush=True)
            if n % 50 == 49:
                each = (time.monotonic() - began) / (n + 1)
                print(f"-- {n + 1} of {len(self._mutants)}, {each:.2f} s each", flush=True)
        return True

    def _tests_by_line(self, session: pytest.Session) -> dict[tuple[str, int], list[tuple[float, int]]]:
        """Return for each line the tests that reach it: their seconds, and their number among the collected."""
        kept = self._scratch / "lines.json"
        ended = _in_fork(session.config.pluginmanager, lambda: self._run_all(session, kept), 3600)
        if ended != PASSED:
            raise session.Interrupted("the tests fail without a mutant")
        tests: dict[tuple[str, int], list[tuple[float, int]]] = {}
        for n, (seconds, lines) in json.loads(kept.read_text()).items():
            for module, numbers in lines.items():
                for number in numbers:
                    tests.setdefault((module, number), []).append((seconds, int(n)))
        return tests

    def _run_all(self, session: pytest.Session, kept: Path) -> int:
        data = coverage.Coverage(
            data_file=None, include=[str(self._root / m) for m in self._modules], config_file=False
        )
        data.start()
        seconds = {}
        for n, item in enumerate(session.items):
            data.switch_context(str(n))
            began = time.monotonic()
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=_next(session.items, n))
            seconds[n] = time.monotonic() - began
            if session.testsfailed:
                os.write(2, f"failed without a mutant: {item.nodeid}\n".encode())
                return FAILED
        data.stop()
        found: dict[int, tuple[float, dict[str, list[int]]]] = {n: (s, {}) for n, s in seconds.items()}
        for module in self._modules:
            for number, contexts in data.get_data().contexts_by_lineno(str(self._root / module)).items():
                for n in filter(None, contexts):
                    found[int(n)][1].setdefault(module, []).append(number)
        kept.write_text(json.dumps(found))
        return PASSED

    def _try(
        self,
        session: pytest.Session,
        mutant: Mutant,
        tests: dict[tuple[str, int], list[tuple[float, int]]],
        functions: dict[tuple[str, str, int], list[FunctionType]],
    ) -> str:
        reaching = sorted(
            {one for n in range(mutant.first, mutant.last + 1) for one in tests.get((mutant.module, n), ())}
        )
        if not reaching:
            return UNREACHED
        killers = self._killers.setdefault((mutant.module, mutant.function), [])
        reaching.sort(key=lambda one: (-killers.index(one[1]) if one[1] in killers else 1, one[0]))
        budget, chosen = self._seconds, []
        for seconds, n in reaching:
            if chosen and (budget := budget - seconds) < 0:
                break
            chosen.append(n)
        told = self._scratch / "killer"
        told.unlink(missing_ok=True)

        def run() -> int:
            if not _put_in(mutant, self._root, functions):
                return NO_CODE
            items = [session.items[n] for n in chosen]
            for n, item in enumerate(items):
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=_next(items, n))
                if session.testsfailed:
                    told.write_text(str(chosen[n]))
                    return FAILED
            return PASSED

        ended = _in_fork(
            session.config.pluginmanager, run, 30 + 10 * sum(seconds for seconds, _ in reaching[: len(chosen)])
        )
        if ended == PASSED:
            return SURVIVED
        if ended == NO_CODE:
            return NONE
        if told.exists():
            by = int(told.read_text())
            self._killers[mutant.module, mutant.function] = [*(n for n in killers if n != by), by]
        return KILLED


def _next(items: list[pytest.Item], n: int) -> pytest.Item | None:
    return items[n + 1] if n + 1 < len(items) else None


def _in_fork(plugins: pytest.PytestPluginManager, run: Callable[[], int], limit_s: float) -> int | None:
    """Return what ``run`` returns in a fork of this process; None when it took too long, or died."""
    pid = os.fork()
    if not pid:
        code = FAILED
        try:
            os.setpgid(0, 0)
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            plugins.unregister(name="terminalreporter")
            code = run()
        finally:
            os._exit(code)
    until = time.monotonic() + limit_s
    status = None
    while time.monotonic() < until:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            break
        time.sleep(0.005)
    else:
        os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        return None
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)  # what its tests left behind
    return os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else None


def _functions(root: Path) -> dict[tuple[str, str, int], list[FunctionType]]:
    """Return the loaded functions below ``root`` by file, qualified name and first line."""
    found: dict[tuple[str, str, int], list[FunctionType]] = {}
    for one in gc.get_objects():
        if isinstance(one, FunctionType) and one.__code__.co_filename.startswith(str(root)):
            code = one.__code__
            found.setdefault((code.co_filename, code.co_qualname, code.co_firstlineno), []).append(one)
    return found


def _put_in(mutant: Mutant, root: Path, functions: dict[tuple[str, str, int], list[FunctionType]]) -> bool:
    """Put the mutated code in the place of that of the loaded function; return whether there was anything to do."""
    path = str(root / mutant.module)
    try:
        compiled = compile(mutant.mutated_source, path, "exec", dont_inherit=True)
    except SyntaxError:
        return False
    done = False
    for code in _codes(compiled):
        if code.co_qualname != mutant.function:
            continue
        for one in functions.get((path, code.co_qualname, code.co_firstlineno), ()):
            if one.__code__ == code or one.__code__.co_freevars != code.co_freevars:
                continue
            for name in SWAPPED:
                if name not in one.__globals__ and hasattr(money, name):
                    one.__globals__[name] = getattr(money, name)
            one.__code__ = code
            done = True
    return done


def _codes(code: CodeType) -> Iterator[CodeType]:
    for one in code.co_consts:
        if isinstance(one, CodeType):
            yield one
            yield from _codes(one)
