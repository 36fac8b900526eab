"""A story: everything that happens to a session from outside, as a list of steps drawn from one seed.

Each step carries all of its own chance, so a story with some steps left out is the same story otherwise; that is
what makes shrinking work. Times are milliseconds after the step before.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

SYMBOLS: Final = ("005930", "000660")
STRATEGIES: Final = ("alpha", "beta")


class Step(msgspec.Struct, frozen=True, array_like=True):
    """One thing that happens: its kind and what the kind needs.

    ``pick`` chooses among what there is (orders, executions) when the step comes, ``size`` is a quantity, a share
    or a time in ms, ``how`` a variant, ``chance`` the seed of whatever else is left open.
    """

    after_ms: int
    kind: str
    symbol: str = ""
    who: str = ""
    how: str = ""
    pick: int = 0
    size: int = 0
    chance: int = 0

    def __str__(self) -> str:
        parts = [self.kind, self.symbol, self.who, self.how]
        numbers = [f"pick {self.pick}" if self.pick else "", f"size {self.size}" if self.size else ""]
        return f"+{self.after_ms} ms  " + " ".join(part for part in (*parts, *numbers) if part)


class Story(msgspec.Struct, frozen=True):
    """A whole story. ``has_ids``, ``requests_per_s`` and ``lag_ms`` are the broker's abilities.

    ``slack_ms``: how late timers come on this machine.
    """

    seed: int
    steps: tuple[Step, ...]
    has_ids: bool = True
    requests_per_s: int | None = None
    lag_ms: int = 0
    slack_ms: int = 0

    def without(self, left_out: Iterable[int]) -> Story:
        """Return the story without the steps of these numbers."""
        left = set(left_out)
        kept = tuple(step for number, step in enumerate(self.steps) if number not in left)
        return msgspec.structs.replace(self, steps=kept)

    def lines(self) -> Sequence[str]:
        """Return the story for people."""
        ids = "keeps our ids" if self.has_ids else "names its own numbers alone"
        rate = "any number of requests" if self.requests_per_s is None else f"{self.requests_per_s} requests"
        head = f"seed {self.seed}: the broker {ids}, takes {rate} a second, shows orders after {self.lag_ms} ms"
        return [head, *(f"{number:3d}  {step}" for number, step in enumerate(self.steps))]


WANTS: Final = ("", "", "", "buy", "buy", "buy at the market", "sell", "sell", "cancel", "target")
ORDER_FAULTS: Final = (
    "rejected", "lost on the way", "answer lost", "cut after arrival", "cut before arrival", "late answer",
    "unreadable answer", "never answered", "answer after its fill", "arrives late", "answer of another order",
)  # fmt: skip
CANCEL_FAULTS: Final = ("lost on the way", "answer lost", "fill is faster", "refused")
NOTICE_FAULTS: Final = ("lost", "told twice", "late", "told again much later")
QUERY_FAULTS: Final = ("not answered", "a page is missing", "slow", "unreadable")
WRONG_NOTICES: Final = ("wrong symbol", "negative quantity", "huge price", "wrong side")
MARKET_FAULTS: Final = ("gap", "no bid", "crossed", "jump", "silence", "back in time", "unknown symbol")
DISK_FAULTS: Final = ("EIO at a write", "EIO at a sync", "full", "short write", "slow sync", "slow sync")
CRASHES: Final = ("killed", "power", "killed at a write", "power at a write", "power at a sync", "ended in order")
OPERATORS: Final = ("stop and sell", "stop", "release", "reconcile", "flatten", "deposit", "withdraw", "adopt")

Drawn = dict[str, float]
CALM: Final[Drawn] = {"quote": 10, "fill": 6, "end": 0.6}
"""How often each kind comes in a story without faults."""
FAULTS: Final[Drawn] = {
    "order fault": 1.2, "cancel fault": 1.4, "notice fault": 1.0, "query fault": 0.8, "line": 0.3, "hand": 0.5,
    "bust": 0.3, "wrong notice": 0.2, "market fault": 0.5, "clock": 0.15, "disk": 0.3, "crash": 0.45,
    "memory": 0.12, "operator": 0.5, "overfill": 0.08, "old files": 0.3,
}  # fmt: skip
"""How often each fault comes, in the stories that have it."""


def draw(seed: int, *, faults: bool = True) -> Story:
    """Draw the story of a seed. ``faults``: whether anything goes wrong in it."""
    rng = random.Random(f"story {seed}")
    weights = dict(CALM)
    if faults:  # a story has a few kinds, and those often
        weights |= {kind: weight * 2 for kind, weight in FAULTS.items() if rng.random() < 0.45}
    kinds, shares = tuple(weights), tuple(weights.values())
    count = rng.randint(15, 45)
    steps = [_step(rng, kind) for kind in rng.choices(kinds, shares, k=count)]
    opening = [Step(100, "quote", symbol, pick=number) for number, symbol in enumerate(SYMBOLS)]
    has_ids = rng.random() < 0.6
    return Story(
        seed,
        (*opening, *steps),
        has_ids=has_ids,
        requests_per_s=rng.choice((None, None, 20, 5)),
        lag_ms=rng.choice((0, 0, 0, 2_000)),
        slack_ms=rng.choice((100, 200, 400)),
    )


def _step(rng: random.Random, kind: str) -> Step:
    after = rng.choice((0, 1, 20, 100, 700, 2_000, 5_000)) + rng.randint(0, 300)
    symbol, who = rng.choice(SYMBOLS), rng.choice(STRATEGIES)
    how = ""
    size = rng.randint(1, 30)
    if kind == "quote":
        how = rng.choice(WANTS)
    elif kind == "end":
        how = rng.choice(("cancelled", "cancelled", "rejected"))
    elif kind == "line":
        size = rng.choice((200, 1_500, 4_000))
    elif kind == "clock":
        size = rng.choice((-40_000, -2_500, -700, 700, 2_500, 40_000))
    elif kind in VARIANTS:
        how = rng.choice(VARIANTS[kind])
    return Step(after, kind, symbol, who, how, rng.randrange(1_000), size, rng.getrandbits(30))


VARIANTS: Final = {
    "order fault": ORDER_FAULTS,
    "cancel fault": CANCEL_FAULTS,
    "notice fault": NOTICE_FAULTS,
    "query fault": QUERY_FAULTS,
    "wrong notice": WRONG_NOTICES,
    "market fault": MARKET_FAULTS,
    "disk": DISK_FAULTS,
    "crash": CRASHES,
    "operator": OPERATORS,
    "hand": ("buy", "sell"),
    "old files": ("qts.sqlite", "journal", "sent"),
}
"""The variants of each kind that has some."""
