"""The check of a strategy: an honest one passes, each way to lie is found with row, intent and difference."""

from __future__ import annotations

from pathlib import Path

import pytest

from qts.market.files.feed_opener import AS_IT_IS
from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.session.run_inputs import with_params
from qts.runtime.session.session_plan import Options, Profile
from qts.runtime.wiring.plans import check_plan
from qts.workbench.check.findings import CheckResult, Outcome, StrategyReport
from qts.workbench.check.strategy_check import StrategyCheck
from qts.workbench.check.trials import StoppedByUser
from tests.sim.daily_bars import SYMBOL, trading_days, write_bars
from tests.sim.recordings import walk, write
from tests.workbench.check import strategies

DAYS = trading_days()[:45]
ROOT = Path(__file__).parents[3]
CHECKS = ["runs", "look-ahead", "warm-up", "restart", "repeat", "seed", "outside", "time"]


@pytest.fixture
def bars(tmp_path: Path) -> Path:
    return write_bars(tmp_path / f"{SYMBOL}.csv", DAYS)


def checked(place: str, data: Path, *params: str, cuts: int = 2, user: StopFlag | None = None) -> StrategyReport:
    """Return the report of a strategy on ``data`` under the plain profile."""
    (spec,) = with_params((place,), params)
    return StrategyCheck(
        lambda options: check_plan(options, [data], None),
        Options(profile=Profile.PLAIN, read_as=AS_IT_IS),
        spec,
        cuts=cuts,
        user=user or StopFlag(),
        on_progress=lambda share, doing: None,
        on_estimate=lambda runs, seconds: None,
    ).run()


def one(report: StrategyReport, name: str) -> CheckResult:
    (found,) = [check for check in report.checks if check.name == name]
    return found


def failed(report: StrategyReport) -> list[str]:
    """Return the failed checks without that of the time, which a busy machine can fail."""
    return [check.name for check in report.checks if check.outcome is Outcome.FAILED and check.name != "time"]


def test_an_honest_strategy_passes_every_check(bars: Path, tmp_path: Path) -> None:
    report = checked(strategies.written(tmp_path, strategies.HONEST), bars, "length=4", cuts=4)
    assert [check.name for check in report.checks] == CHECKS
    assert failed(report) == []
    assert one(report, "warm-up").outcome is Outcome.SKIPPED
    assert report.rows == len(DAYS)
    assert report.intents == report.fills > 10
    # One whole run, four cuts, the watched one, another seed, the restarted one
    assert report.runs == 1 + 4 + 1 + 1 + 1
    assert {row.hook: row.calls for row in report.times} == {
        "on_start": 1, "on_bar": len(DAYS), "on_fill": report.fills,
    }  # fmt: skip


def test_a_strategy_that_reads_the_data_itself_looks_ahead(bars: Path, tmp_path: Path) -> None:
    report = checked(strategies.written(tmp_path, strategies.peeks(bars)), bars)
    assert failed(report) == ["look-ahead"]
    (found,) = one(report, "look-ahead").findings
    assert (found.place, found.moment) == ("mine.py:24", "2014-01-02 15:00:00 KST")
    assert "it can see rows that have not come" in found.text


def test_a_module_that_remembers_an_earlier_run_is_told_from_a_look_at_later_rows(
    bars: Path, tmp_path: Path
) -> None:
    report = checked(strategies.written(tmp_path, strategies.FORGETFUL_CLASS), bars)
    assert failed(report) == ["look-ahead"]
    (found,) = one(report, "look-ahead").findings
    assert "its class or module remembers an earlier run" in found.text
    # On the second day the price fell to the third; the cut run knows that, the whole one did not
    assert (found.row, found.intent.split(",")[0], found.instead.split(",")[0]) == (2, "", f"BUY {SYMBOL}")


def test_what_is_not_saved_shows_after_a_restart(bars: Path, tmp_path: Path) -> None:
    report = checked(strategies.written(tmp_path, strategies.UNSAVED), bars)
    assert failed(report) == ["restart"]
    (found,) = one(report, "restart").findings
    assert "a checkpoint does not keep all that it remembers" in found.text
    assert found.row is not None
    assert found.intent != found.instead


def test_shared_random_numbers_show_with_another_seed_and_by_their_line(bars: Path, tmp_path: Path) -> None:
    report = checked(strategies.written(tmp_path, strategies.RANDOM), bars)
    # They repeat with the same seed, so the cuts show nothing; a restart draws them again from the beginning
    assert failed(report) == ["restart", "seed", "outside"]
    (found,) = one(report, "seed").findings
    assert "it draws random numbers itself" in found.text
    (line,) = one(report, "outside").findings
    assert line.place == "mine.py:26"


def test_a_generator_of_its_own_with_a_seed_is_honest(bars: Path, tmp_path: Path) -> None:
    assert failed(checked(strategies.written(tmp_path, strategies.OWN_SEEDED), bars)) == []


def test_the_machines_clock_is_named_by_its_line(bars: Path, tmp_path: Path) -> None:
    report = checked(strategies.written(tmp_path, strategies.OWN_CLOCK), bars)
    assert failed(report) == ["outside"]
    (found,) = one(report, "outside").findings
    assert (found.place, "datetime.datetime.now" in found.text) == ("mine.py:26", True)


def test_what_does_not_repeat_is_not_compared_any_further(bars: Path, tmp_path: Path) -> None:
    report = checked(strategies.written(tmp_path, strategies.UNREPEATED), bars)
    assert failed(report) == ["repeat", "outside"]
    for name in ("restart", "seed", "warm-up"):
        assert one(report, name).outcome is Outcome.SKIPPED
        assert "not judged" in one(report, name).text


def test_a_slow_hook_is_named(bars: Path, tmp_path: Path) -> None:
    # Given a strategy that sleeps 500 µs in each call
    report = checked(strategies.written(tmp_path, strategies.SLOW), bars, cuts=1)
    # Then its median is above what a call may take
    assert one(report, "time").outcome is Outcome.FAILED
    (found,) = one(report, "time").findings
    assert found.text.startswith("on_bar takes ")
    assert report.times[1].median_us > 500


def test_a_strategy_that_fails_or_wants_nothing_is_compared_no_further(bars: Path, tmp_path: Path) -> None:
    for body, said in ((strategies.RAISES, "ValueError: no idea"), (strategies.SILENT, "it wanted nothing")):
        report = checked(strategies.written(tmp_path, body), bars)
        assert failed(report) == ["runs"]
        assert said in one(report, "runs").findings[0].text
        assert report.runs == 1


@pytest.mark.parametrize("place", ["examples/sma_cross.py:SmaCross", "tests/sim/daily_bars.py:TenShares"])
def test_examples_on_bars_pass(tmp_path: Path, place: str) -> None:
    data = write_bars(tmp_path / f"{SYMBOL}.csv", trading_days()[:120])
    assert failed(checked(str(ROOT / place), data, "fast=5", "slow=20", cuts=2)) == []


@pytest.mark.parametrize(
    "place", ["examples/my_first_strategy.py:ThreeInARow", "src/qts/strategy/two_ema.py:TwoEma"]
)
def test_shipped_strategies_on_quotes_pass(tmp_path: Path, place: str) -> None:
    data = write(tmp_path / "tape.csv", walk(400, days=2))
    report = checked(str(ROOT / place), data, cuts=2)
    assert failed(report) == []
    assert report.intents > 2


def test_a_check_that_is_stopped_has_no_result(bars: Path, tmp_path: Path) -> None:
    user = StopFlag()
    user.request()
    with pytest.raises(StoppedByUser):
        checked(strategies.written(tmp_path, strategies.HONEST), bars, user=user)
