"""Records the market values of a session on a server: starts the recorder, feeds it, and tells what was lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import count
from typing import TYPE_CHECKING

from qts.config.tree import QtsConfig
from qts.market.contracts import Feed, LiveFeed, MarketValue
from qts.runtime.drivers.standard_output import say
from qts.runtime.kernel import Kernel
from qts.runtime.session.session_plan import Options
from qts.runtime.wiring.stored_values import recorder_of
from qts.threads import off_loop
from qts.wording import counted

if TYPE_CHECKING:  # without a server nothing of it is imported
    from qts.runtime.recording.tick_recorder import TickRecorder


def started_recorder(
    options: Options, tree: QtsConfig, feed: Feed | LiveFeed, source: str, environ: Mapping[str, str]
) -> TickRecorder | None:
    """Return the recorder of a session, started; None when its values are not recorded.

    ``source`` names the recording; see :func:`live_recording` for a feed that pushes.
    A server that is away is told and is no error. Raises InputError for one that cannot be used.
    """
    recorder = recorder_of(options, tree, feed, source, environ)
    if recorder is not None:
        recorder.start()
        seen = recorder.view()
        if seen.state != "recording":
            say(f"nothing is recorded yet, the newest values wait meanwhile: {seen.why}")
    return recorder


def recorded(kernel: Kernel, recorder: TickRecorder | None, values: Iterator[MarketValue]) -> Iterator[MarketValue]:
    """Return ``values``, recorded as they leave the feed: numbered by how many the session has taken in.

    A resumed session goes on with the number of its checkpoint, so what it repeats is recorded once.
    """
    if recorder is None:
        return values
    kernel.shared.recording = recorder.view
    if kernel.pending_value is not None:
        recorder.put(kernel.pending_value, kernel.intake.rows + 1)
    return recorder.along(values, lambda: kernel.intake.rows)


def live_recording(source_id: str, now_ns: int) -> str:
    """Return the name of what a process records of a live feed, which shows nothing twice, from ``now_ns`` on."""
    return f"{source_id} from={now_ns}"


def recorded_live(kernel: Kernel, recorder: TickRecorder | None) -> Callable[[MarketValue], object]:
    """Return what records a value of a live feed right before the session takes it in, numbered in that order."""
    if recorder is None:
        return lambda value: None
    kernel.shared.recording = recorder.view
    numbers = count(1)
    return lambda value: recorder.put(value, next(numbers))


async def close_recorder(recorder: TickRecorder | None, drain_s: float) -> None:
    """Let the recorder send what is left, for at most ``drain_s``: the last view of the session tells of it."""
    if recorder is not None:
        await off_loop(lambda: recorder.close(drain_s))


def end_recorder(recorder: TickRecorder | None, drain_s: float) -> None:
    """Let the recorder send what is left, for at most ``drain_s``, and tell what was not recorded."""
    if recorder is None:
        return
    recorder.close(drain_s)
    seen = recorder.view()
    lost = sum(seen.dropped.values())
    if lost:
        say(f"{counted(lost, 'value was', 'values were')} not recorded: {_by_symbol(seen.dropped)}; {seen.why}")
    if seen.refused:
        say(f"{counted(seen.refused, 'value', 'values')} cannot be stored on the server; the first: {seen.why}")


def _by_symbol(dropped: Mapping[str, int]) -> str:
    most = sorted(dropped.items(), key=lambda one: -one[1])[:3]
    others = len(dropped) - len(most)
    return ", ".join(f"{symbol} {count:,}" for symbol, count in most) + (f" and {others} others" if others else "")
