"""Plays a story: one life of the session after the other, checked after every event, until all is settled."""

from __future__ import annotations

import gc
import shutil
import sys
from pathlib import Path
from typing import Any

import msgspec

from qts.clock import NEVER_NS
from qts.errors import BrokerUnavailable, QtsError
from qts.market.contracts import Quote
from tests.runtime.new_store import empty_store
from tests.simulation.broker import SimBroker
from tests.simulation.checks import at_a_call, at_the_end, at_this_moment, of_the_last
from tests.simulation.disk import Disk
from tests.simulation.happenings import Happenings
from tests.simulation.life import Life
from tests.simulation.machine import Crash, Machine, run_on
from tests.simulation.model import Breach
from tests.simulation.primitives import Loop
from tests.simulation.story import SYMBOLS, Step, Story
from tests.simulation.system_calls import close_all
from tests.simulation.world import NS_PER_MS, World

BEGIN_NS = 1_769_043_600_000_000_000
"""Thursday 2026-01-22, 10:00 in Seoul."""
QUIET_NS = 30_000_000_000
"""Time within which everything is settled once nothing goes wrong any more."""


CALM_NS = 2_000_000_000
MOST_FAILURES = 5
"""Processes in a row that may fail because the disk does."""


class Outcome(msgspec.Struct):
    """What came of a story: ``wrong`` is "" where everything held."""

    seed: int
    wrong: str
    fired: dict[str, int]
    virtual_s: float
    lives: int
    trace: list[str]


class Play:
    """One story on one directory."""

    def __init__(self, story: Story, directory: Path) -> None:
        self.story = story
        self.directory = directory
        self.world = World(story.seed, BEGIN_NS)
        self.broker = SimBroker(self.world, story)
        self.life: Life | None = None
        self.lives = self.failures = 0
        self.disk: Disk | None = None
        self.image: dict[str, bytes] = {}
        """The files that the next process finds."""
        self.older: dict[str, bytes] = {}
        """Those that the last one found."""
        self.puts_back = ""
        self.has_old_files = False
        self.offset_ns = self.stepped_ns = 0
        """What the session's clock shows beside the true time, and the machine's, which a new process reads."""
        self.broker.offset_ns = lambda: self.offset_ns
        self.happenings = Happenings(self)
        self.next_step = 0
        self.wishes: dict[tuple[str, int], tuple[str, int]] = {}
        self.wrong = ""
        self.lacked_memory = False
        self.is_done = False
        self._seen: Any = None
        self._safety: Any = None
        self.stopped_since_ns = NEVER_NS
        """Since when safety lets no entry leave."""
        self.last_wrong = ""
        self.broker.before_call = lambda request: self._guard(lambda: at_a_call(self, request))

    def run(self) -> Outcome:
        """Play it to its end."""
        self._plan_next()
        self.image["qts.sqlite"] = empty_store()
        while not self.is_done and not self.wrong:
            self._live()
        if not self.wrong:
            self._guard(lambda: at_the_end(self))
        return Outcome(
            self.story.seed,
            self.wrong.replace(str(self.directory), "DISK"),
            dict(self.world.fired),
            self.world.passed_ns / 1e9,
            self.lives,
            [line.replace(str(self.directory), "DISK") for line in self.world.trace],
        )

    # -- lives -------------------------------------------------------------------------------------------------

    def _live(self) -> None:
        self.lives += 1
        began_quiet = self.world.is_quiet
        world, story = self.world, self.story
        self.offset_ns = self.stepped_ns
        wall_ns = BEGIN_NS + self.offset_ns
        made = Machine(f"{story.seed} {self.lives}", world.passed_ns, wall_ns, slack_ns=story.slack_ms * NS_PER_MS)
        world.say(f"== process {self.lives} begins")
        disk = self.disk = Disk(self.directory / str(self.lives), world, f"disk {story.seed} {self.lives}")
        Path(disk.root).mkdir(parents=True)
        disk.put(self._image_with_old_files())
        Disk.current, sys.unraisablehook = disk, _ignore
        try:
            _, error = run_on(made, lambda: self._process(made))
        finally:
            has_begun = self.life is not None and self.life.has_begun
            self.lacked_memory = self.life is not None and self.life.has_lacked_memory
            self.broker.listener, self.life = None, None
            world.end()
            gc.collect()  # what a killed process has left closes its files now, and not those of the next one
            Disk.current = None
            close_all(disk)
        found = disk.image if disk.is_dead else disk.as_it_is()
        shutil.rmtree(disk.root)
        sys.settrace(None)
        if (
            self.has_old_files and error is not None and not has_begun
        ):  # it was refused: a person puts the right ones there
            self.world.say(f"   refused: {error}")
            error = None
        else:
            self.older, self.image = self.image, found
        self._judge(error, disk, made.told, began_quiet=began_quiet)
        if not self.is_done and not self.wrong:
            world.pass_without(self.world.rng.choice((100, 700, 3_000)) * NS_PER_MS)

    def _image_with_old_files(self) -> dict[str, bytes]:
        """Return the files for the next process, one of them perhaps as it was before the last one."""
        name, self.puts_back, self.has_old_files = self.puts_back, "", False
        old = {path: content for path, content in self.older.items() if path.startswith(name)}
        now = {path: content for path, content in self.image.items() if path.startswith(name)}
        if not name or not old or old == now:
            return self.image
        self.has_old_files = True
        self.world.fire(f"old files: {name}")
        return {path: one for path, one in self.image.items() if path not in now} | old

    def _judge(self, error: BaseException | None, disk: Disk, told: str, *, began_quiet: bool) -> None:
        """Take down how a process has ended; it may fail where the machine did."""
        if error is None or self.wrong:
            self.failures = 0
            return
        self.world.say(f"== process {self.lives} ended: {type(error).__name__}: {error}")
        self.failures += not isinstance(error, BrokerUnavailable)
        no_broker = isinstance(error, BrokerUnavailable) and not began_quiet
        may_fail = no_broker or self.lacked_memory or (disk.has_failed and isinstance(error, QtsError))
        if not may_fail or (self.failures > MOST_FAILURES and not no_broker):
            self.wrong = f"{type(error).__name__}: {error}"
            self.world.say(told)

    def _process(self, made: Machine) -> None:
        self.world.begin(made)
        loop = Loop()
        loop.on_error = self.world.say
        try:
            loop.run_until_complete(self._session(loop))
        finally:
            loop.on_error = None
            if not made.is_over:
                loop.close()

    async def _session(self, loop: Loop) -> None:
        life = self.life = Life(
            Path(self.directory, str(self.lives)),
            self.world,
            self.broker,
            self._wish,
            self.world.now_ns + self.offset_ns,
        )
        loop.on_idle = self._look
        try:
            await life.run()
            if self.is_done:
                self.last_wrong = of_the_last(life)
        finally:
            loop.on_idle = None
            await life.close()

    def _wish(self, strategy: str, quote: Quote) -> tuple[str, int]:
        return self.wishes.pop((strategy, quote.ts_ns), ("", 0))

    # -- checks ------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        """Check what must hold now; called whenever the session's loop has nothing to do."""
        life = self.life
        if life is None:
            return
        shared = life.kernel.shared
        if (state := shared.safety.current_state) is not self._safety:
            self._safety = state
            self.stopped_since_ns = NEVER_NS if state.allows_entries else self.world.passed_ns
            history = shared.safety.history
            self.world.say(f"   safety {state.value}: {history[-1].code if history else ''}")
        if not life.has_begun:
            return
        seen = (shared.record.book_revision, self.broker.revision, shared.safety.current_state)
        if seen != self._seen:
            self._seen = seen
            self._guard(lambda: at_this_moment(self, life))

    def _guard(self, check: Any) -> None:
        try:
            check()
        except Breach as breach:
            self.breach(str(breach))

    def breach(self, what: str) -> None:
        """End the story: something does not hold."""
        self.wrong = self.wrong or what
        self.world.say(f"!! {what}")
        current = Machine.current
        if current is not None:
            current.crash()
            raise Crash

    # -- the story ---------------------------------------------------------------------------------------------

    def _plan_next(self) -> None:
        steps = self.story.steps
        if self.next_step < len(steps):
            step = steps[self.next_step]
            self.world.after(step.after_ms * NS_PER_MS, lambda: self._do(step))
        else:
            self.world.after(0, self._calm)

    def _do(self, step: Step) -> None:
        number, self.next_step = self.next_step, self.next_step + 1
        self.world.say(f"{number}: {step}")
        self._plan_next()
        self._guard(lambda: self.happenings.happen(step))

    # -- the end -----------------------------------------------------------------------------------------------

    def _calm(self) -> None:
        """Let nothing go wrong from now on, and look in 30 seconds."""
        self.world.is_quiet = True
        self.world.say("== nothing goes wrong any more")
        self.happenings.calm()
        if self.life is not None and self.offset_ns:  # the clock is set right, and a new process reads it
            self.stepped_ns = 0
            self.life.stop.request()
        self.world.after(QUIET_NS, self._finish)
        self._show_calm_prices(0)

    def _show_calm_prices(self, number: int) -> None:
        for symbol in SYMBOLS:
            self.happenings.happen(Step(0, "quote", symbol))
        if number < QUIET_NS // CALM_NS - 1:
            self.world.after(CALM_NS, lambda: self._show_calm_prices(number + 1))

    def _finish(self) -> None:
        self.is_done = True
        if self.life is not None:
            self.life.stop.request()


def play(story: Story, directory: Path, *, tells_all: bool = False) -> Outcome:
    """Play a story in a directory that is made for it and removed."""
    directory.mkdir(parents=True)
    try:
        played = Play(story, directory)
        played.world.tells_all = tells_all
        return played.run()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _ignore(unraisable: Any) -> None:
    """Ignore what the rest of a process that was killed raises while it is taken away."""
