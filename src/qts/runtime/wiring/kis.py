"""Opens KIS for a session: its live feed, and its broker. Nothing of it is imported before."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from qts.broker.contracts import NotSimulated
from qts.broker.gateway.sent_file import SentFile
from qts.broker.kis.config import REAL_MONEY, KisConfig
from qts.broker.kis.opening import KisParts, parts_of
from qts.broker.kis.stream_config import StreamConfig
from qts.clock import NS_PER_S, Clock, HeldClock, PacedClock, from_ns
from qts.config.loader import load_config
from qts.config.tree import QtsConfig
from qts.db.datadir import RECORD_NAME, SENT_NAME, STEPS_NAME
from qts.errors import InputError
from qts.ids import seeded
from qts.market.contracts import Feed, Instrument
from qts.market.krx import KST, KrxCalendar, krx_instrument
from qts.market.last_values import LastValues
from qts.market.series.history import RowHistory
from qts.market.series.wanted import WantedBars
from qts.market.with_history import WithStored
from qts.runtime.kernel import Kernel
from qts.runtime.orders.report_relay import ReportRelay
from qts.runtime.session.live_source import LiveSource, ReadHistory, Repeats, Teller
from qts.runtime.session.session_plan import Options, Profile
from qts.runtime.session.session_view import LIVE, MONEY, PAPER_ACCOUNT
from qts.runtime.steps.broker import RepeatedBroker
from qts.runtime.steps.feed import StepFeed
from qts.runtime.steps.lines import BrokerFacts, RecordedSteps
from qts.runtime.steps.repeater import StepRepeater
from qts.runtime.wiring.brokers import BrokerConnection, simulated_broker
from qts.strategy.contracts import Strategy
from qts.threads import off_loop

if TYPE_CHECKING:  # it needs libraries of its own
    from qts.broker.kis.feed import KisFeed, NoticeTaker
    from qts.broker.kis.known import KnownOrders
    from qts.broker.kis.notices import KisNotices
    from qts.broker.kis.plan import Needs
    from qts.broker.kis.rest import KisRest

_WRITTEN: Final = ("broker.kis", "broker.kis.account", "broker.kis.confirmation")
"""Settings of real money, and the group of both: they count in a file alone."""
_POLLS_OF_TOKENS: Final = 4
"""At most every so many-th request of a second goes to prices that have no place on the websocket."""


def open_kis_feed(
    options: Options, config: QtsConfig, strategies: Sequence[Strategy], machine: Clock
) -> LiveSource:
    """Open the live feed of KIS with simulated fills.

    The keys are those of the account that ``broker.kis.account`` names; nothing is ordered with them. Raises
    InputError where they are missing, MissingExtraError without the extra ``kis``.
    """
    clock, teller = PacedClock(machine.now()), Teller()
    parts = parts_of(config.broker.kis, os.environ, clock, live=config.broker.kis.account == "live", tell=teller)
    rest, instruments = parts.rest(), instruments_for(config, strategies)
    feed = _feed(parts, rest, config, instruments, options.seed)

    stream = config.broker.kis.stream
    own_clock = HeldClock(clock) if stream.keeps_steps else clock

    def connect(config: QtsConfig, directory: Path, run_id: str, seed: int) -> BrokerConnection:
        _record(feed, None, directory, config.broker.kis.stream, teller)
        return simulated_broker(config.broker.sim, feed, own_clock, seed)

    return LiveSource(
        feed,
        own_clock,
        teller,
        broker="sim",
        account=config.runtime.account,
        mode="paper",
        is_simulated=True,
        connect=connect,
        follow=lambda kernel: _follow(feed, kernel, strategies),
        read_history=_history(rest, parts, instruments),
        close=rest.close,
        records_steps=stream.keeps_steps,
    )


def open_kis_steps(
    path: Path, process: int, options: Options, config: QtsConfig, strategies: Sequence[Strategy], machine: Clock
) -> LiveSource:
    """Open the recorded steps of a process of a session on KIS, to repeat them. Raises DataError."""
    from qts.broker.kis.recorded_bars import RecordedBars, file_of
    from qts.broker.kis.recorded_feed import MAX_AGE_NS

    recorded = RecordedSteps(path / STEPS_NAME, last_of(options), process)
    head, clock = recorded.head, HeldClock(PacedClock(machine.now()))
    clock.hold(head.started_ns)
    instruments = instruments_for(config, strategies)
    feed = StepFeed(f"{path} {STEPS_NAME}", instruments, MAX_AGE_NS)

    async def read(wanted: Sequence[WantedBars], before_ns: int, directory: Path) -> RowHistory:
        from qts.broker.kis.history import history_of

        bars = file_of(path / RECORD_NAME, from_ns(before_ns).astimezone(KST).date())
        return history_of(RecordedBars(bars).bars if bars.is_file() else (), wanted, instruments, before_ns)

    facts = head.broker

    def connect(config: QtsConfig, directory: Path, run_id: str, seed: int) -> BrokerConnection:
        if facts is None:
            return simulated_broker(config.broker.sim, feed, clock, seed)
        broker = RepeatedBroker(facts.name, facts.capabilities)
        return BrokerConnection(broker, NotSimulated(), LastValues(), ReportRelay())

    return LiveSource(
        feed,
        clock,
        Teller(),
        broker="sim" if facts is None else facts.name,
        account=config.runtime.account if facts is None else facts.account,
        mode="paper" if facts is None else facts.mode,
        is_simulated=facts is None,
        connect=connect,
        follow=(lambda kernel: None) if facts is None else _compare_first,
        read_history=read,
        repeats=Repeats(StepRepeater(clock, recorded), head.run_id, head.source_id),
    )


def last_of(options: Options) -> str:
    """Return the last day (ISO) of a record that is repeated; "" for all."""
    return "" if options.day is None else options.day.isoformat()


def open_kis_broker(
    options: Options,
    config: QtsConfig,
    strategies: Sequence[Strategy],
    machine: Clock,
    *,
    paper_account: bool,
    confirmation: str,
) -> LiveSource:
    """Open KIS as feed and broker, with real money unless ``paper_account``.

    Real money needs the same words in ``broker.kis.confirmation`` of a file and in ``confirmation``, and all rules.
    Raises InputError without them, and as :func:`open_kis_feed`.
    """
    kis = config.broker.kis
    if not paper_account:
        _require_real_money(kis, options, confirmation)
    clock, teller = PacedClock(machine.now()), Teller()
    parts = parts_of(kis, os.environ, clock, live=not paper_account, tell=teller)
    report_relay, instruments = ReportRelay(), instruments_for(config, strategies)
    made: list[KisNotices] = []
    rests: list[KisRest] = []

    def make_notices(rest: KisRest, known: KnownOrders) -> KisNotices:
        from qts.broker.kis.notices import KisNotices

        rests.append(rest)
        made.append(KisNotices(parts.access, instruments, known, clock, report_relay, teller))
        return made[0]

    own_clock = HeldClock(clock) if kis.stream.keeps_steps else clock
    broker = parts.broker(make_notices)
    own_rest = parts.rest()
    feed = _feed(parts, own_rest, config, instruments, options.seed, made[0])

    def connect(config: QtsConfig, directory: Path, run_id: str, seed: int) -> BrokerConnection:
        _record(feed, made[0], directory, kis.stream, teller)
        file = SentFile(directory / SENT_NAME, run_id, most_bytes=config.broker.gateway.file_kb << 10)
        return BrokerConnection(broker, NotSimulated(), LastValues(), report_relay, file, rests[0].times)

    def follow(kernel: Kernel) -> None:
        made[0].ask_books = kernel.due.resolve_soon
        _compare_first(kernel)
        _follow(feed, kernel, strategies)

    mode = LIVE if parts.access.is_live else PAPER_ACCOUNT
    account = str(parts.access.number)  # its ends alone: a hash of eight digits can be undone
    return LiveSource(
        feed,
        own_clock,
        teller,
        broker=broker.name,
        account=account,
        mode=mode,
        is_simulated=False,
        connect=connect,
        follow=follow,
        read_history=_history(own_rest, parts, instruments),
        close=own_rest.close,
        money=MONEY[mode],
        records_steps=kis.stream.keeps_steps,
        facts=BrokerFacts(broker.name, broker.capabilities, account, mode),
    )


def _compare_first(kernel: Kernel) -> None:
    """Let no entry leave before the books of a session that has just begun were compared."""
    if kernel.unresolved.require_comparison("the session has just begun"):
        kernel.due.resolve_soon()


def _history(rest: KisRest, parts: KisParts, instruments: Mapping[str, Instrument]) -> ReadHistory:
    """Return what reads bars from before the session by the chart calls; on the session's loop."""

    async def read(wanted: Sequence[WantedBars], before_ns: int, directory: Path) -> RowHistory:
        from qts.broker.kis.history import KisHistory, history_of
        from qts.broker.kis.recorded_bars import file_of, keep

        bars = await KisHistory(rest, parts.clock).rows(wanted, instruments, before_ns)
        if parts.config.stream.record:
            try:
                keep(file_of(directory / RECORD_NAME, from_ns(before_ns).astimezone(KST).date()), bars)
            except OSError as error:
                parts.tell(f"the bars from before the session are not in its record: {error.strerror}")
        return history_of(bars, wanted, instruments, before_ns)

    return read


def _record(
    feed: KisFeed, notices: KisNotices | None, directory: Path, config: StreamConfig, teller: Teller
) -> None:
    """Record what KIS sends in the directory of the session, until the feed is closed."""
    if not config.record:
        return
    from qts.broker.kis.frame_record import FrameRecord

    record = FrameRecord(directory / RECORD_NAME, feed.instruments, late_ns=config.late_s * NS_PER_S, tell=teller)
    record.begin()
    feed.on_received = record.add
    feed.on_closed = lambda: off_loop(record.close)
    if notices is not None:
        notices.on_received = record.add


def _require_real_money(kis: KisConfig, options: Options, confirmation: str) -> None:
    """Raise InputError unless real money is confirmed in both places, and under all rules."""
    if kis.account != "live":
        raise InputError(
            "--mode live trades real money, and broker.kis.account is paper: set it to live in config/broker.yaml, "
            "or give --paper-account"
        )
    if kis.confirmation != REAL_MONEY or confirmation != REAL_MONEY:
        raise InputError(
            f"--mode live trades real money: write broker.kis.confirmation: {REAL_MONEY!r} in config/broker.yaml, "
            f"and give --confirm {REAL_MONEY!r} as well; or give --paper-account"
        )
    given = [one for one in options.overrides if one in _WRITTEN]
    if given:
        raise InputError(
            f"--set {given[0]}: real money is confirmed in the file config/broker.yaml and by --confirm, so that "
            "neither is enough alone; write it there"
        )
    if options.profile is Profile.PLAIN:
        raise InputError("--plain trades without limits, and --mode live trades real money: leave --plain out")


def _feed(
    parts: KisParts,
    rest: KisRest,
    config: QtsConfig,
    instruments: Mapping[str, Instrument],
    seed: int,
    notices: NoticeTaker | None = None,
) -> KisFeed:
    from qts.broker.kis.average_volume import AverageVolumes
    from qts.broker.kis.feed import KisFeed
    from qts.broker.kis.history import KisHistory
    from qts.broker.kis.quotations import RestQuotations

    stream = config.broker.kis.stream
    return KisFeed(
        parts.access,
        instruments,
        approval=rest.approval_key,
        quotations=RestQuotations(rest, stream.venue),
        config=stream,
        clock=parts.clock,
        pause=parts.pause,
        chance=seeded(seed, "kis"),
        tell=parts.tell,
        poll_s=_POLLS_OF_TOKENS / parts.requests_per_s,
        exchange=parts.exchange,
        volumes=AverageVolumes(KisHistory(rest, parts.clock), parts.clock).of,
        notices=notices,
        close=rest.close,
    )


def instruments_for(config: QtsConfig, strategies: Sequence[Strategy]) -> Mapping[str, Instrument]:
    """Return the instruments that the strategies name, and those of ``instruments.yaml`` where one names none.

    Raises InputError for a symbol that is none of the KRX.
    """
    own = {
        symbol: instrument
        for symbol, instrument in config.instruments.build().items()
        if isinstance(instrument.calendar, KrxCalendar)
    }
    symbols = [symbol for strategy in strategies for symbol in strategy.symbols]
    if not symbols or any(not strategy.symbols for strategy in strategies):
        symbols += own
    if not symbols:
        raise InputError(
            "no symbol is known: name those that are traded in the strategy (symbols), or in instruments.yaml with "
            "a market of the KRX"
        )
    return {symbol: own.get(symbol) or krx_instrument(symbol) for symbol in dict.fromkeys(symbols)}


def _follow(feed: KisFeed, kernel: Kernel, strategies: Sequence[Strategy]) -> None:
    """Let the feed register for what the session holds and trades."""
    feed.needs = _needs_of(kernel, strategies, tuple(feed.instruments))


def _needs_of(kernel: Kernel, strategies: Sequence[Strategy], known: Sequence[str]) -> Callable[[], Needs]:
    from qts.broker.kis.plan import Needs

    def needs() -> Needs:
        account, orders = kernel.shared.account, kernel.shared.orders
        held = [row.symbol for row in account.position_rows() if row.qty]
        wanted = [symbol for strategy in strategies for symbol in strategy.symbols or known]
        return Needs(
            tuple(dict.fromkeys([*held, *(order.symbol for order in orders)])), tuple(dict.fromkeys(wanted))
        )

    return needs


def is_kis_record(path: Path) -> bool:
    """Return whether ``path`` is the directory of a session that has recorded what KIS sent."""
    if not path.is_dir():
        return False
    from qts.broker.kis.recorded_feed import is_record

    return is_record(path / RECORD_NAME)


def open_kis_record(path: Path, options: Options) -> Feed:
    """Open what a session has recorded of KIS on a day as a feed. Raises DataError."""
    from qts.broker.kis.recorded_bars import RecordedBars, file_of
    from qts.broker.kis.recorded_feed import RecordedFeed

    tree = load_config(options.config_dir, options.overrides, os.environ).tree
    feed = RecordedFeed(path / RECORD_NAME, options.day, tree.instruments.build())
    bars = file_of(path / RECORD_NAME, feed.day)
    return WithStored(feed, RecordedBars(bars)) if bars.is_file() else feed
