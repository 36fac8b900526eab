"""The names by which Python code reads what is no part of a run: clocks, chance, network, files."""

from __future__ import annotations

from enum import Enum
from typing import Final


class Outside(str, Enum):
    """A kind of source that a run does not control, as it is shown."""

    CLOCK = "the machine's clock"
    STOPWATCH = "a stopwatch"
    RANDOM = "random numbers"
    NETWORK = "the network or another program"
    FILE = "a file"
    DATA = "the data that it trades"


NAMES: Final[dict[str, Outside]] = {
    "time.time": Outside.CLOCK,
    "time.time_ns": Outside.CLOCK,
    "datetime.datetime.now": Outside.CLOCK,
    "datetime.datetime.utcnow": Outside.CLOCK,
    "datetime.datetime.today": Outside.CLOCK,
    "datetime.date.today": Outside.CLOCK,
    "pandas.Timestamp.now": Outside.CLOCK,
    "pandas.Timestamp.today": Outside.CLOCK,
    "pandas.Timestamp.utcnow": Outside.CLOCK,
    "time.monotonic": Outside.STOPWATCH,
    "time.monotonic_ns": Outside.STOPWATCH,
    "time.perf_counter": Outside.STOPWATCH,
    "time.perf_counter_ns": Outside.STOPWATCH,
    "time.process_time": Outside.STOPWATCH,
    "time.process_time_ns": Outside.STOPWATCH,
    "os.urandom": Outside.RANDOM,
    "os.getrandom": Outside.RANDOM,
    "uuid.uuid1": Outside.RANDOM,
    "uuid.uuid4": Outside.RANDOM,
    "random.SystemRandom": Outside.RANDOM,
    "os.system": Outside.NETWORK,
    "os.popen": Outside.NETWORK,
    "open": Outside.FILE,
    "io.open": Outside.FILE,
    "os.open": Outside.FILE,
    "sqlite3.connect": Outside.FILE,
}
"""Full dotted names."""
PREFIXES: Final[dict[str, Outside]] = {
    "random.": Outside.RANDOM,
    "secrets.": Outside.RANDOM,
    "numpy.random.": Outside.RANDOM,
    "socket.": Outside.NETWORK,
    "subprocess.": Outside.NETWORK,
    "urllib.request.": Outside.NETWORK,
    "http.client.": Outside.NETWORK,
    "requests.": Outside.NETWORK,
    "httpx.": Outside.NETWORK,
    "aiohttp.": Outside.NETWORK,
    "pandas.read_": Outside.FILE,
    "polars.read_": Outside.FILE,
    "polars.scan_": Outside.FILE,
    "numpy.load": Outside.FILE,
    "numpy.genfromtxt": Outside.FILE,
}
SEEDED: Final = frozenset(
    {
        "random.Random",
        "numpy.random.default_rng",
        "numpy.random.RandomState",
        "numpy.random.SeedSequence",
        "numpy.random.PCG64",
        "numpy.random.MT19937",
        "numpy.random.Philox",
    }
)
"""Sources of numbers that repeat when they are made with a seed, and not without one."""
TYPES: Final = frozenset({"numpy.random.Generator", "numpy.random.BitGenerator"})
"""Names that stand for no draw."""
METHODS: Final[dict[str, Outside]] = {"read_text": Outside.FILE, "read_bytes": Outside.FILE}
"""Methods whose names alone say what they read."""


def kind_of(name: str) -> Outside | None:
    """Return what the full dotted ``name`` reads; None: nothing from outside the run."""
    if name in NAMES:
        return NAMES[name]
    if name in TYPES:
        return None
    return next((kind for prefix, kind in PREFIXES.items() if name.startswith(prefix)), None)
