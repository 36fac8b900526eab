"""What a strategy does wrong halts that strategy at the most, is counted, and is named once."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from qts.db.sqlite import SqliteStore
from qts.errors import StorageError
from qts.execution.contracts import OrderState
from qts.market.contracts import Bar
from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.drivers.sync import run_to_completion
from qts.runtime.persistence.checkpoint import decode
from qts.runtime.session.session_view import read_view
from qts.strategy.contracts import Context, FillView, Intent, Side
from qts.strategy.unavailable import UnavailableStrategy, restore_names
from tests.cli.command_line import own_directory, run_qts, tape
from tests.risk.requests import D
from tests.runtime.live_rig import live
from tests.runtime.rig import SYMBOL, Rig, ScriptedStrategy, kst, with_ten
from tests.runtime.test_strategy_process import market, written

__all__ = ["own_directory", "tape"]
MakeRig = Callable[..., Rig]


def context_of(rig: Any, name: str) -> Any:
    (context,) = [one for one in rig.kernel.host.contexts if one.strategy.name == name]
    return context


def counted(rig: Any, name: str = "scripted") -> dict[str, tuple[int, str]]:
    return {callback: (one.count, one.first) for callback, one in context_of(rig, name).faults.items()}


# -- what it remembers cannot be kept ------------------------------------------------------------------------------


def nested(levels: int) -> list[Any]:
    return [nested(levels - 1)] if levels else []


def endless() -> list[Any]:
    loop: list[Any] = []
    loop.append(loop)
    return loop


@pytest.mark.parametrize(
    ("make", "named_as"),
    [
        (object, "self.value holds a builtins.object"),
        (lambda: {"a": [1, (2, object())]}, "self.value['a'][1][1] holds a builtins.object"),
        (lambda: lambda: 0, "self.value holds a builtins.function"),
        (lambda: nested(40), "holds a nesting of more than 32 levels"),
        (endless, "holds a nesting of more than 32 levels"),
        (lambda: open("/dev/null"), "self.value holds a _io.TextIOWrapper"),  # noqa: SIM115 - as users do
        (lambda: {"x": "\ud800"}, "self.value holds the text '\\ud800'"),
    ],
)
def test_what_cannot_be_kept_halts_its_strategy_alone(make: Any, named_as: str, rig_of: MakeRig) -> None:
    # Given two strategies that hold ten shares each
    odd, healthy = ScriptedStrategy("odd"), ScriptedStrategy("healthy")
    rig = rig_of(odd, healthy)
    now = with_ten(rig, odd, healthy)
    # When one of them keeps something that no checkpoint can hold
    odd.value = value = make()  # type: ignore[attr-defined]
    run_to_completion(rig.shared.record.checkpoint())
    rig.quotes(now + 1_000_000_000, 60)
    # Then it is named, not asked any more, and what it held is sold; the other goes on
    assert context_of(rig, "odd").halted
    assert named_as in context_of(rig, "odd").why
    (count, first) = counted(rig, "odd")["save"]
    assert (count, named_as in first) == (1, True)
    assert (rig.held("odd"), rig.held("healthy")) == (0, 10)
    assert not context_of(rig, "healthy").halted
    assert healthy.quotes > odd.quotes
    # And further checkpoints hold together, without trying it again
    rig.orders()
    assert counted(rig, "odd")["save"][0] == 1
    if hasattr(value, "close"):
        value.close()


def test_the_checkpoint_in_which_it_is_found_knows_already_that_it_is_halted(rig_of: MakeRig) -> None:
    """Its exits and the alarm are in the same checkpoint: a kill right behind it loses neither."""
    odd = ScriptedStrategy("odd")
    rig = rig_of(odd)
    with_ten(rig, odd)
    rig.store_now()
    kept = odd.quotes
    rig.quote(kst(10, 1))
    odd.value = object()  # type: ignore[attr-defined]
    run_to_completion(rig.shared.record.checkpoint())
    saved = rig.store.checkpoint()
    assert saved is not None
    parts = decode(saved)["parts"]
    assert parts["strategies"]["odd"]["halted"] is True
    assert [row[:2] for row in parts["exits"]["open"]] == [["odd", SYMBOL]]
    assert [cause["code"] for cause in parts["safety"]["causes"]] == ["AN060"]
    assert (
        parts["strategies"]["odd"]["attributes"]["memory"]["quotes"] == kept < odd.quotes
    )  # the last that could be kept


class OwnState(ScriptedStrategy):
    """Keeps its memory itself, as long as it is let."""

    broken = False

    def save_state(self) -> dict[str, Any]:
        if self.broken:
            raise KeyError("gone")
        return {"quotes": self.quotes}

    def load_state(self, saved: dict[str, Any]) -> None:
        raise ValueError("not mine")


def test_a_save_state_that_raises_halts_its_strategy_too(rig_of: MakeRig) -> None:
    odd = OwnState("odd")
    rig = rig_of(odd)
    odd.broken = True
    run_to_completion(rig.shared.record.checkpoint())
    assert "save_state() raised KeyError: 'gone'" in counted(rig, "odd")["save"][1]


def test_the_machine_s_lack_of_memory_is_not_the_strategy_s_fault(rig_of: MakeRig) -> None:
    class Full(ScriptedStrategy):
        full = False

        def save_state(self) -> dict[str, Any]:
            if self.full:
                raise MemoryError
            return {}

        def load_state(self, saved: dict[str, Any]) -> None: ...

    full = Full()
    rig = rig_of(full)
    full.full = True
    with pytest.raises(StorageError, match="MemoryError"):
        run_to_completion(rig.shared.record.checkpoint())
    assert counted(rig) == {}


# -- its start fails -----------------------------------------------------------------------------------------------


class Unready(ScriptedStrategy):
    def on_start(self, ctx: Context) -> None:
        raise RuntimeError("parameters missing")


def test_a_strategy_whose_start_failed_is_never_asked(rig_of: MakeRig) -> None:
    unready, healthy = Unready("unready"), ScriptedStrategy("healthy")
    rig = rig_of(unready, healthy)
    unready.wants(Side.BUY, qty=3)
    healthy.wants(Side.BUY, qty=2)
    rig.quotes(kst(10), 6)
    rig.show(Bar(SYMBOL, kst(10, 1), *[D(150_000)] * 4, D(1)))
    assert (unready.quotes, rig.held("unready"), rig.held("healthy")) == (0, 0, 2)
    assert counted(rig, "unready") == {"on_start": (1, "RuntimeError: parameters missing")}
    assert context_of(rig, "unready").why == "its start failed: RuntimeError: parameters missing"


# -- counting ------------------------------------------------------------------------------------------------------


def test_errors_are_counted_by_callback_with_the_first_message_of_each(rig_of: MakeRig) -> None:
    class Clumsy(ScriptedStrategy):
        def on_bar(self, ctx: Context, bar: Bar) -> Iterable[Intent]:
            raise KeyError(bar.ts_ns)

        def on_fill(self, ctx: Context, fill: FillView) -> None:
            raise ValueError("fill")

    clumsy = Clumsy()
    rig = rig_of(clumsy)
    clumsy.wants(Side.BUY, qty=3)
    now = rig.quotes(kst(10), 2)
    for number in range(3):
        clumsy.fail_with = [RuntimeError(f"quote {number}")]
        now = rig.quotes(now + 1_000_000_000, 1)
    rig.show(Bar(SYMBOL, now + 1, *[D(150_000)] * 4, D(1)))
    assert counted(rig) == {
        "on_fill": (1, "ValueError: fill"),
        "on_quote": (3, "RuntimeError: quote 0"),
        "on_bar": (1, f"KeyError: {now + 1}"),
    }
    assert not context_of(rig, "scripted").halted


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("error", "text"),
    [(ValueError("half \ud800"), "ValueError: half ?"), (Mute(), "Mute, without a message")],
)
def test_an_error_that_cannot_be_written_down_ends_nothing(error: Exception, text: str, rig_of: MakeRig) -> None:
    said_ = ScriptedStrategy()
    rig = rig_of(said_)
    said_.fail_with = [error]
    rig.quote(kst(10))
    run_to_completion(rig.shared.record.checkpoint())
    assert counted(rig)["on_quote"] == (1, text)


# -- in a process --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "callback", "told"),
    [
        ("    def on_start(self, ctx): raise RuntimeError('no parameters')", "on_start", "no parameters"),
        (
            "    def on_quote(self, ctx, quote):\n        self.quotes += 1\n        self.x = [object()]",
            "save",
            r"self\.x\[0\] holds a builtins\.object",
        ),
        ("    def __init__(self): self.x = object()", "save", r"self\.x holds a builtins\.object"),
    ],
)
async def test_in_a_process_it_is_the_same(body: str, callback: str, told: str, tmp_path: Path) -> None:
    async with live(tmp_path, written(tmp_path, "Odd", body)) as rig:
        await rig.show(*market(10))
        await rig.until(lambda: context_of(rig, "Odd").halted)
        count, first = counted(rig, "Odd")[callback]
        assert count == 1
        assert re.search(told, first)
        assert list(counted(rig, "Odd")) == [callback]
    # And a resumed one is not asked again, nor named again
    async with live(tmp_path, f"{tmp_path / 'odd.py'}:Odd") as rig:
        await rig.show(*market(10, first=10))
        assert context_of(rig, "Odd").halted
        assert counted(rig, "Odd") == {callback: (1, first)}
        assert rig.faults() == []


# -- whole sessions ------------------------------------------------------------------------------------------------

BUYER = """
from qts.capital.contracts import Pool
from qts.strategy.contracts import Intent, Side

class Buyer:
    name = "buyer"
    pool = Pool.SWING
    symbols = ()
    {more}
    def __init__(self):
        {made}
        self.quotes = 0
    def on_start(self, ctx): pass
    def on_quote(self, ctx, quote):
        self.quotes += 1
        {quote}
        if self.quotes == 3:
            return [Intent(quote.symbol, Side.BUY, confidence=1.0, qty=1)]
    def on_bar(self, ctx, bar): return ()
    def on_fill(self, ctx, fill): pass
"""


def buyer(made: str = "pass", quote: str = "pass", more: str = "") -> str:
    Path("buyer.py").write_text(BUYER.format(made=made, quote=quote, more=more), encoding="utf-8")
    return "buyer.py:Buyer"


def test_the_result_the_summary_and_the_view_tell_it(tape: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = buyer(quote="if self.quotes > 5: self.book = {'open': object()}")
    argv = ("replay", str(tape), "--strategy", spec, "--data-dir", "run")
    code, out, _ = run_qts(capsys, *argv, "--json", "--report", "report.html")
    (one,) = json.loads(out)["strategies"]
    assert code == 5
    assert (one["name"], one["pool"], one["halted"]) == ("buyer", "SWING", True)
    (error,) = one["errors"]
    assert (error["callback"], error["count"]) == ("save", 1)
    assert "self.book['open'] holds a builtins.object" in error["first"]
    view = read_view(Path("run"))
    assert view is not None
    assert msgspec.to_builtins(view.strategies[0])["errors"] == (error,)
    _, out, _ = run_qts(capsys, *argv)
    assert "HALTED: strategy buyer: what it remembers cannot be kept" in out
    assert "strategy buyer failed in save 1 time, first: ContractError" in " ".join(out.split())
    page = Path("report.html").read_text("utf-8")
    for text in ("Errors of strategies", "전략 오류", "keeping what it remembers", "상태 저장", "was halted"):
        assert text in page
    _, out, _ = run_qts(capsys, "status", "--data-dir", "run")
    assert "buyer is HALTED: what it remembers cannot be kept" in " ".join(out.split())


def stopped_after(rows: int, spec: str, tape: Path, *, resume: bool = False) -> None:
    """A session that is stopped in the middle, and can be resumed."""
    from qts.runtime.session.session import run_session
    from qts.runtime.session.session_plan import Options
    from qts.runtime.wiring.plans import replay_plan

    stop, seen = StopFlag(), [0]

    def progress(share: float | None, moment_ns: int) -> None:
        seen[0] += 256
        if seen[0] >= rows:
            stop.request()

    options = Options(strategies=(spec,), data_dir=Path("run"), resume=resume)
    assert not run_session(replay_plan(options, [tape], None), progress=progress, stop=stop).finished


@pytest.mark.parametrize("more", ["", 'bars = {"1m": 1}'], ids=["plain", "bars"])
def test_a_strategy_that_cannot_be_made_again_does_not_keep_its_run_from_going_on(
    more: str, tape: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a stopped run whose strategy holds a share and needs something that is gone by now
    Path("needed").write_text("")
    spec = buyer(made="open('needed').close()", more=more)
    stopped_after(256, spec, tape)
    Path("needed").unlink()
    # When it is resumed
    code, out, _ = run_qts(
        capsys, "replay", str(tape), "--strategy", spec, "--data-dir", "run", "--resume", "--json"
    )
    # Then the session goes on to its end, the strategy halted by its own name and its share sold
    assert code == 5
    (one,) = json.loads(out)["strategies"]
    assert (one["name"], one["pool"], one["halted"]) == ("buyer", "SWING", True)
    assert [(error["callback"], error["count"]) for error in one["errors"]] == [("loading", 1)]
    assert "FileNotFoundError" in one["errors"][0]["first"]
    assert json.loads(out)["positions"] == {}
    store = SqliteStore(Path("run/qts.sqlite"), durability="NORMAL")
    orders = store.orders()
    store.close()
    assert [(o.side, o.forced, o.state) for o in sorted(orders, key=lambda o: o.ts_intent_ns)][:2] == [
        (Side.BUY, False, OrderState.FILLED),
        (Side.SELL, True, OrderState.FILLED),
    ]


def test_without_a_run_to_go_on_with_it_is_refused_as_before(
    tape: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = buyer(made="open('needed').close()")
    for more in ((), ("--resume",)):
        code, out, err = run_qts(capsys, "replay", str(tape), "--strategy", spec, "--data-dir", "run", *more)
        assert (code, out) == (2, "")
        assert "making" in err
        assert "FileNotFoundError" in err


def test_what_could_not_be_kept_is_not_named_again_by_a_resumed_run(
    tape: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = buyer(made="self.x = object()")
    stopped_after(256, spec, tape)
    stopped_after(256, spec, tape, resume=True)
    _, out, _ = run_qts(capsys, "replay", str(tape), "--strategy", spec, "--data-dir", "run", "--resume", "--json")
    (one,) = json.loads(out)["strategies"]
    assert [(error["callback"], error["count"]) for error in one["errors"]] == [("save", 1)]
    log = Path("run/session.log.jsonl").read_text("utf-8")
    assert sum(json.loads(line)["level"] == "ERROR" for line in log.splitlines()) == 1


def test_a_load_state_that_raises_halts_its_strategy(rig_of: MakeRig) -> None:
    first, second = rig_of(OwnState("odd")), rig_of(OwnState("odd"))
    first.quote(kst(10))
    run_to_completion(first.shared.record.checkpoint())
    saved = first.store.checkpoint()
    assert saved is not None
    run_to_completion(second.kernel.restore(saved, first.store, None))
    assert counted(second, "odd") == {"load_state": (1, "ValueError: not mine")}
    assert context_of(second, "odd").halted


def test_a_stand_in_has_the_name_and_the_pool_of_the_checkpoint() -> None:
    one, two = ScriptedStrategy("one"), UnavailableStrategy("why")
    (same, stand_in) = restore_names([one, two], {"one": {"pool": "SCALP"}, "two": {"pool": "PORTFOLIO"}})
    assert same is one
    assert (stand_in.name, stand_in.pool.value) == ("two", "PORTFOLIO")
    assert not stand_in.on_quote(None, None)  # type: ignore[arg-type]
