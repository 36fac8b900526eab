"""Trials in real processes: whatever a strategy does is an answer, and no kill loses or doubles one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from qts.errors import InputError
from qts.search.contracts import Answer, Job, decode, encode
from qts.search.local_pool import LocalPool, clean_environment
from qts.search.search import Search, key_of, trials_of
from qts.search.study import Definition, Study
from tests.effort import examples
from tests.search.studies import InlinePool, definition_in, table

ROOT = Path(__file__).parents[2]
ENVIRON = {**os.environ, "PYTHONPATH": str(ROOT)}


def pool_for(definition: Definition, workers: int = 2, trial_s: float = 60.0) -> LocalPool:
    return LocalPool(definition.setup, workers, trial_s, ENVIRON)


def answers(definition: Definition, pool: LocalPool, *params: dict[str, str]) -> list[str | Answer]:
    """Run one trial for each of ``params`` and return what came of them, in their order."""
    windows = definition.plan.folds[0].train
    jobs = [
        Job(number=n, key=key_of(definition, one, windows, 7), params=one, windows=windows, seed=7)
        for n, one in enumerate(params)
    ]
    found = dict(pool.run((job.number, encode(job)) for job in jobs))
    return [one if isinstance(one := found[n], str) else decode(one, Answer) for n in range(len(jobs))]


def reason(answer: str | Answer) -> str:
    return answer if isinstance(answer, str) else answer.failed


def test_whatever_a_strategy_does_is_a_failed_trial_with_its_reason(tmp_path: Path) -> None:
    # Given strategies that raise, exit, leave, crash and fork, and a good one after each
    definition = definition_in(tmp_path)
    troubles = ("raises", "exits", "leaves", "crashes", "forks")
    wanted = [{"trouble": kind} for trouble in troubles for kind in (trouble, "none")]
    with closing(pool_for(definition)) as pool:
        told = dict(zip(troubles, zip(*[iter(answers(definition, pool, *wanted))] * 2, strict=True), strict=True))
    # Then each says why it failed, and the good ones are not touched
    assert "no such moment" in reason(told["raises"][0])
    assert "exit" in reason(told["exits"][0]).lower()
    assert reason(told["leaves"][0]) == "its process ended with exit code 4"
    assert reason(told["crashes"][0]) == "its process ended with SIGSEGV"
    assert reason(told["forks"][0]) == "the strategy forked its process"
    good = [pair[1] for pair in told.values()]
    assert all(isinstance(one, Answer) and one.failed == "" for one in good)


def test_a_strategy_that_hangs_is_ended_and_the_next_trial_runs(tmp_path: Path) -> None:
    definition = definition_in(tmp_path)
    with closing(pool_for(definition, workers=1, trial_s=2.0)) as pool:
        assert answers(definition, pool, {"trouble": "hangs"}) == ["it took longer than 2 s"]
        assert pool.pids == []


def test_a_strategy_that_eats_memory_ends_its_own_trial(tmp_path: Path) -> None:
    definition = definition_in(tmp_path, memory_bytes=1 << 30)
    with closing(pool_for(definition, workers=1)) as pool:
        eaten, good = answers(definition, pool, {"trouble": "eats"}, {"trouble": "none"})
    assert "memory" in reason(eaten).lower()
    assert reason(good) == ""


def test_one_and_several_workers_give_the_same_table_as_this_process(tmp_path: Path) -> None:
    definition = definition_in(tmp_path)
    tables = []
    for workers in (0, 1, 3):
        with Study.begin(tmp_path / str(workers), definition) as study:
            pool = pool_for(definition, workers) if workers else InlinePool(definition.setup)
            Search(study, pool, on_progress=lambda one: None, is_stopped=lambda: False).run()
            pool.close()
            tables.append(table(study))
    assert tables[0] == tables[1] == tables[2]
    assert len(tables[0]) == 6


class Killer(threading.Thread):
    """Kills a worker now and then, ``most`` times."""

    def __init__(self, pool: LocalPool, most: int) -> None:
        super().__init__(daemon=True)
        self.pool, self.most, self.killed = pool, most, 0
        self.ended = threading.Event()

    def run(self) -> None:
        while self.killed < self.most and not self.ended.wait(0.4):
            for pid in self.pool.pids[:1]:
                os.kill(pid, signal.SIGKILL)
                self.killed += 1


def test_kills_of_workers_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    count = examples(8, whole=60)
    definition = definition_in(tmp_path, params=(f"hold=1..{min(count, 20)}", f"rest=1..{-(-count // 20)}"))
    with Study.begin(tmp_path / "calm", definition) as study:
        Search(study, InlinePool(definition.setup), on_progress=lambda one: None, is_stopped=lambda: False).run()
        expected = {one.number: one.answers for one in trials_of(study, 0)}
    with Study.begin(tmp_path / "killed", definition) as study, closing(pool_for(definition)) as pool:
        killer = Killer(pool, examples(2, whole=50))
        killer.start()
        Search(study, pool, on_progress=lambda one: None, is_stopped=lambda: False).run()
        killer.ended.set()
        killer.join()
        found = {one.number: one.answers for one in trials_of(study, 0)}
    assert found.keys() == expected.keys()
    # A trial that was killed three times counts as failed; every other has its answer
    lost = [n for n in found if found[n] != expected[n]]
    assert all("SIGKILL" in found[n][0].failed for n in lost)
    assert not lost or killer.killed >= 3


DRIVER = """
import os, sys
from pathlib import Path
from qts.search.local_pool import LocalPool
from qts.search.search import Search
from qts.search.study import Study
with Study(Path(sys.argv[1]), writes=True) as study:
    pool = LocalPool(study.definition.setup, 2, 60.0, os.environ)
    Search(study, pool, on_progress=lambda one: print(one.done, flush=True), is_stopped=lambda: False).run()
    pool.close()
"""


def test_kills_of_the_driver_lose_nothing_and_leave_no_worker(tmp_path: Path) -> None:
    definition = definition_in(tmp_path, params=("hold=1..6", "rest=1..2"))
    with Study.begin(tmp_path / "calm", definition) as study:
        Search(study, InlinePool(definition.setup), on_progress=lambda one: None, is_stopped=lambda: False).run()
        expected = table(study)
    Study.begin(tmp_path / "killed", definition).close()
    for kill in range(examples(2, whole=20)):
        with driver(tmp_path / "killed") as process:
            assert process.stdout is not None
            for _ in range(1 + kill % 3):  # after some more trials
                process.stdout.readline()
            process.kill()
    with driver(tmp_path / "killed") as process:
        process.communicate(timeout=120)
        assert process.returncode == 0
    with Study(tmp_path / "killed", writes=False) as study:
        assert table(study) == expected


def driver(directory: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(directory)], cwd=ROOT, env=ENVIRON, stdout=subprocess.PIPE, text=True
    )


def test_an_input_that_has_changed_is_refused_by_the_workers(tmp_path: Path) -> None:
    definition = definition_in(tmp_path)
    changed = msgspec.structs.replace(
        definition, setup=msgspec.structs.replace(definition.setup, source_id="another")
    )
    with closing(pool_for(changed)) as pool, pytest.raises(InputError, match="has changed since the study began"):
        answers(changed, pool, {})


def test_workers_are_given_no_secret() -> None:
    given = {
        "PATH": "/bin",
        "HOME": "/home/kim",
        "QTS_KIS_APP_SECRET": "s",
        "QTS_DB_PASSWORD": "s",
        "QTS_DB_URL": "postgresql://kim:s@host/db",
        "AWS_SECRET_ACCESS_KEY": "s",
        "GITHUB_TOKEN": "s",
        "QTS_LOG_LEVEL": "INFO",
        "SOMETHING_ELSE": "x",
    }
    kept = clean_environment(given)
    assert "s" not in kept.values()
    assert {"PATH", "HOME", "QTS_LOG_LEVEL", "PYTHONPATH"} == set(kept)


@pytest.fixture(autouse=True)
def no_process_is_left() -> Iterator[None]:
    yield
    left = subprocess.run(
        ["pgrep", "-f", f"qts.search.worker .* {os.getpid()}$"], capture_output=True, text=True, check=False
    )
    assert left.stdout == ""
