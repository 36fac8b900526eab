"""Makes the plans of the commands: feed, default strategies, settings of a command."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from qts.clock import Clock
from qts.config.data_config import DataConfig
from qts.config.loader import load_config
from qts.config.tree import QtsConfig
from qts.db.datadir import STEPS_NAME
from qts.errors import ContractError, InputError, StorageError
from qts.market.contracts import Feed
from qts.market.demo_feed import DemoFeed
from qts.market.files.feed import FileFeed
from qts.market.flat_costs import FlatCosts
from qts.market.prepared.capture import PreparedCapture
from qts.market.prepared.directory import CaptureDirectory, cache_directory, refuse_to_go_on
from qts.market.prepared.feed import PreparedFeed
from qts.market.recordings import open_recording
from qts.market.synthetic import SyntheticFeed
from qts.market.time_window import TimeWindow
from qts.market.with_history import WithHistory
from qts.runtime.drivers.standard_output import say
from qts.runtime.session.live_source import LiveSource
from qts.runtime.session.progress import ROWS_PER_PROGRESS
from qts.runtime.session.session_plan import AnyFeed, NamedServers, Options, SessionPlan
from qts.runtime.steps.lines import is_step_record
from qts.runtime.wiring.cache import cache_of
from qts.runtime.wiring.kis import is_kis_record, open_kis_broker, open_kis_feed, open_kis_record, open_kis_steps
from qts.runtime.wiring.profiles import settings_of
from qts.runtime.wiring.server import servers_of
from qts.runtime.wiring.stored_values import finder_of, open_stored, require_recording_server
from qts.strategy.contracts import Strategy
from qts.strategy.portfolio import Portfolio
from qts.strategy.scalp import Scalp
from qts.strategy.swing import Swing
from qts.strategy.two_ema import TwoEma

DEMO_OVERRIDES: Final = {
    # The demo has one symbol for three pools, so the 15 % of one symbol would leave two thirds of them idle.
    "risk.symbol_weight_limit": "0.60",
}
OPENING_BY_CURRENCY: Final = {"USDT": "100000", "USDC": "100000", "BUSD": "100000", "USD": "100000"}
KIS: Final = "kis"
"""The feed and the broker of that name."""
_DEFAULT_CURRENCY: Final = "KRW"


def demo_plan(options: Options) -> SessionPlan:
    """Plan the demo: five real years of 005930 from the built-in sample data."""
    return SessionPlan(
        command="demo",
        options=options,
        open_feed=lambda: DemoFeed(seed=options.seed),
        default_strategies=_demo_strategies,
        overrides_for=lambda feed: DEMO_OVERRIDES,
        judged_by_index=True,
        reads_again=bool(options.outputs),
        servers=servers_of(options, os.environ),
        open_cache=cache_of(options, os.environ),
    )


def replay_plan(options: Options, paths: Sequence[Path], format: str | None) -> SessionPlan:
    """Plan the replay of a recorded file, of files of bars, or of values on a server, on the virtual clock."""
    if paths and options.recording is not None:
        raise InputError(f"--recording is for values on a server, and {paths[0]} is a file")
    of_session = paths[0] if len(paths) == 1 and is_kis_record(paths[0]) else None
    if of_session is None and options.day is not None:
        raise InputError("--day is for the record of a session on KIS: name its directory, as qts-data/run-…")

    def open_source() -> Feed:
        if of_session is not None:
            return open_kis_record(of_session, options)
        return _recording(paths, format, options, prepares=True) if paths else _stored(options)

    return SessionPlan(
        command="replay",
        options=options,
        open_feed=open_source,
        default_strategies=lambda: (TwoEma(),),
        overrides_for=lambda feed: _account_in(feed) | settings_of(options.profile),
        reads_again=bool(options.outputs),
        recordings=(*(() if of_session is not None else paths), *options.history),
        servers=servers_of(options, os.environ),
        open_cache=cache_of(options, os.environ),
        stored_rows=finder_of(options, os.environ),
    )


def has_steps(paths: Sequence[Path]) -> bool:
    """Return whether ``paths`` is the directory of one session that has recorded its steps."""
    return len(paths) == 1 and paths[0].is_dir() and is_step_record(paths[0] / STEPS_NAME)


def steps_plan(options: Options, path: Path, process: int = 0) -> SessionPlan:
    """Plan the repetition of the steps of a process of the session in ``path``; no server is told of it.

    ``process`` counts from 0; each other one resumes what the repetition of the one before it has stored.
    """
    plan = _live_plan(options, lambda: (TwoEma(),), partial(open_kis_steps, path, process))
    alone = msgspec.structs.replace(plan.options, resume=process > 0)
    return msgspec.structs.replace(plan, options=alone, servers=NamedServers(), open_cache=None)


def backtest_plan(options: Options, paths: Sequence[Path], format: str | None) -> SessionPlan:
    """Plan the backtest of the user's strategies on recorded data, on the virtual clock."""
    return SessionPlan(
        command="backtest",
        options=options,
        open_feed=lambda: _recording(paths, format, options),
        default_strategies=_no_strategy,
        overrides_for=lambda feed: _account_in(feed) | settings_of(options.profile),
        reads_again=True,
        recordings=(*paths, *options.history),
    )


def check_plan(options: Options, paths: Sequence[Path], format: str | None) -> SessionPlan:
    """Plan the backtest that ``qts check`` repeats: a recording is prepared once, and prices are not read again."""
    return msgspec.structs.replace(
        backtest_plan(options, paths, format),
        command="check",
        open_feed=lambda: _recording(paths, format, options, prepares=True),
        reads_again=False,
    )


def search_plan(options: Options, paths: Sequence[Path], format: str | None) -> SessionPlan:
    """Plan the backtests of a search: its input is opened once and whole, see :func:`within`."""
    whole = msgspec.structs.replace(options, first_day=None, last_day=None, history=())
    return msgspec.structs.replace(
        check_plan(options, paths, format),
        command="optimize",
        open_feed=lambda: _recording(paths, format, whole, prepares=True),
    )


def within(feed: Feed, options: Options) -> Feed:
    """Return the values of ``feed`` within the days of the options, with the rows of their history."""
    if options.first_day is not None or options.last_day is not None:
        feed = TimeWindow(feed, options.first_day, options.last_day)
    return _with_history(feed, options)


def paper_plan(options: Options, feed: str, format: str | None) -> SessionPlan:
    """Plan a paper session: the simulated exchange in real or accelerated time, on a file, a generator or KIS."""
    if feed == KIS:
        return _live_plan(options, lambda: (TwoEma(),), open_kis_feed)

    def open_source() -> Feed:
        if feed == "synthetic":
            return _with_history(SyntheticFeed(seed=options.seed), options)
        return _recording([Path(feed)], format, options)

    require_recording_server(options, os.environ)  # before another server is told of the run
    return SessionPlan(
        command="run",
        options=options,
        open_feed=open_source,
        default_strategies=lambda: (TwoEma(),),
        overrides_for=lambda feed: _account_in(feed) | settings_of(options.profile),
        paced=True,
        recordings=(*(() if feed == "synthetic" else (Path(feed),)), *options.history),
        servers=servers_of(options, os.environ),
        open_cache=cache_of(options, os.environ),
        stored_rows=finder_of(options, os.environ),
    )


def live_plan(options: Options, broker: str, *, paper_account: bool, confirmation: str) -> SessionPlan:
    """Plan a session at a real broker, with a paper account or with real money.

    ``confirmation`` is what the command line says of real money; it has to be what the settings say.
    """
    if broker != KIS:
        raise InputError(f"--broker {broker}: allowed is {KIS}")
    opens = partial(open_kis_broker, paper_account=paper_account, confirmation=confirmation)
    return _live_plan(options, _no_live_strategy, opens)


def _live_plan(
    options: Options,
    default_strategies: Callable[[], Sequence[Strategy]],
    open_live: Callable[[Options, QtsConfig, Sequence[Strategy], Clock], LiveSource],
) -> SessionPlan:
    require_recording_server(options, os.environ)  # before another server is told of the run
    if options.history:
        raise InputError(
            "--history: a session on KIS warms strategies up with the bars that KIS has, days and the minutes of "
            "today; leave it out, or try the strategy on the file with qts backtest or qts run --feed FILE"
        )
    if options.speed not in (None, 1.0):
        raise InputError(f"--speed {options.speed:g}: KIS sends in real time; leave it out")
    settings = settings_of(options.profile)
    options = msgspec.structs.replace(options, overrides={**settings, **options.overrides})
    return SessionPlan(
        command="run",
        options=options,
        open_feed=_not_pulled,
        default_strategies=default_strategies,
        overrides_for=lambda feed: settings,
        paced=True,
        servers=servers_of(options, os.environ),
        open_cache=cache_of(options, os.environ),
        open_live=partial(open_live, options),
    )


def _not_pulled() -> Feed:
    raise ContractError("a live feed is not pulled")


def _no_live_strategy() -> Sequence[Strategy]:
    raise InputError(
        "a session at a broker needs a strategy: name it by --strategy FILE.py:Class, for example "
        "--strategy examples/sma_cross.py:SmaCross"
    )


def _no_strategy() -> Sequence[Strategy]:
    raise InputError(
        "a backtest needs a strategy: name it by --strategy FILE.py:Class, for example "
        "--strategy examples/sma_cross.py:SmaCross"
    )


def _demo_strategies() -> Sequence[Strategy]:
    # A round trip in 2018 costs 0.33 % (fees and sell tax), so the scalper aims at several times that.
    scalp = Scalp(samples=60, entry_deviation=2.0, take_profit=0.015, stop_loss=0.02, time_limit_s=7_200.0)
    return scalp, Swing(), Portfolio()


def prepare(
    options: Options, path: Path, format: str | None, progress: Callable[[float], None]
) -> tuple[PreparedCapture, bool]:
    """Return the prepared capture of a file as a replay with these options uses it; False when it was there before.

    ``progress`` is called with the share of the file read so far, 0..1. Raises DataError when the file cannot be
    used and StorageError when the capture cannot be kept.
    """
    tree = load_config(options.config_dir, options.overrides, os.environ).tree
    captures = _captures(tree.data, refuse_to_go_on)
    if captures is None:
        raise StorageError("the capture cannot be prepared: neither XDG_CACHE_HOME nor HOME names a directory")
    feed = _open([path], format, options, tree, captures)
    is_new = not isinstance(feed, PreparedFeed)
    if is_new:
        if not isinstance(feed, FileFeed):
            raise InputError(f"{path}: files of bars are not prepared: they are read as fast as they are")
        for count, _ in enumerate(feed.values()):
            if count % ROWS_PER_PROGRESS == 0:
                progress(feed.progress() or 0.0)
        feed = _open([path], format, options, tree, captures)
    if not isinstance(feed, PreparedFeed):
        raise StorageError(f"the capture cannot be prepared: {captures.path} does not keep it")
    return feed.capture, is_new


def _recording(paths: Sequence[Path], format: str | None, options: Options, *, prepares: bool = False) -> Feed:
    """Open the feed of files. Configured symbols and currency take precedence over what the files show.

    ``prepares``: a prepared capture is used, and made where there is none. A paper session does neither, because
    what takes long on its loop delays fills.
    """
    tree = load_config(options.config_dir, options.overrides, os.environ).tree
    wanted = prepares and tree.data.prepared == "auto"
    feed = _open(paths, format, options, tree, _captures(tree.data, _say_not_kept) if wanted else None)
    if tree.instruments.costs is not None:
        feed = FlatCosts(feed, tree.instruments.costs)
    return within(feed, options)


def _stored(options: Options) -> Feed:
    """Open the values on the server that the options name."""
    tree = load_config(options.config_dir, options.overrides, os.environ).tree
    feed = open_stored(options, tree, _currency_set(options, tree), os.environ)
    if tree.instruments.costs is not None:
        feed = FlatCosts(feed, tree.instruments.costs)
    return _with_history(feed, options)


def _currency_set(options: Options, tree: QtsConfig) -> str | None:
    """Return the currency of the account, None where the user has set none."""
    currency = tree.runtime.currency
    return currency if "runtime.currency" in options.overrides or currency != _DEFAULT_CURRENCY else None


def _with_history(feed: Feed, options: Options) -> Feed:
    """Return the feed with the files of ``--history``, each opened as the recording is."""
    if not options.history:
        return feed
    tree = load_config(options.config_dir, options.overrides, os.environ).tree
    return WithHistory(feed, [_open([path], None, options, tree, None) for path in options.history])


def _open(
    paths: Sequence[Path],
    format: str | None,
    options: Options,
    tree: QtsConfig,
    captures: CaptureDirectory | None,
) -> Feed:
    return open_recording(
        paths,
        format,
        currency=_currency_set(options, tree),
        own=tree.instruments.build(),
        read_as=options.read_as,
        captures=captures,
    )


def _captures(data: DataConfig, tell: Callable[[str], None]) -> CaptureDirectory | None:
    directory = cache_directory(os.environ)
    return None if directory is None else CaptureDirectory(directory, data.prepared_mb << 20, tell)


def _say_not_kept(reason: str) -> None:
    say(f"no prepared capture is kept ({reason}); the replay reads the file itself")


def _account_in(feed: AnyFeed) -> dict[str, str]:
    """Return the settings of an account in the currency of the feed's market: 100,000 for dollars."""
    currency = next(iter(feed.instruments.values())).currency
    opening = OPENING_BY_CURRENCY.get(currency)
    return {} if opening is None else {"runtime.currency": currency, "runtime.equity_start": opening}
