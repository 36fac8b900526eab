"""``qts demo``, ``qts replay``, ``qts backtest`` and ``qts run``: the ways to run a session."""

from __future__ import annotations

import argparse
import math
import re
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qts.cli.arguments import day_of
from qts.cli.settings import add_settings, directory, overrides_of

if TYPE_CHECKING:
    from qts.market.files.reading import ReadAs

_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?", re.ASCII)
_EXAMPLES = {"cash": "10000000", "fees": "0.0015"}
PACED_SPEED = 60.0
"""How many times real time a paper session runs where nothing else is asked for."""
FORMATS = ("binance-raw", "observer-jsonl", "csv", "parquet", "bars")


def add_parser(commands: Any) -> None:
    demo = commands.add_parser(
        "demo",
        help="trade five real years (2014-2018) on the built-in sample data",
        description="Trades 005930 through 2014-2018; the S&P 500 and the VIX drive the operating state. "
        "From 2018-01-22 to 2018-02-28 the days are played out tick by tick.",
    )
    _common(demo)
    _server(demo)
    _speed(demo)
    demo.set_defaults(func=_demo)

    replay = commands.add_parser(
        "replay",
        help="trade through a recorded file, files of bars, or values recorded on a server",
        description="Trades through market data on the virtual clock; reproducible byte for byte. Without a FILE "
        "the values of --symbol come from the server of --db, where qts run --record has stored them.",
    )
    replay.add_argument(
        "files",
        metavar="FILE",
        nargs="*",
        type=Path,
        help="the recording (plain or .gz); several files, or a folder, of bars",
    )
    _days(replay)
    replay.add_argument(
        "--recording",
        type=_recording_number,
        metavar="N",
        help="without FILE: the recording, where several overlap",
    )
    replay.add_argument(
        "--day",
        type=day_of,
        metavar="DATE",
        help="FILE is the directory of a session on KIS: the last day whose steps are repeated; with --simulate "
        "the day to trade through",
    )
    replay.add_argument(
        "--simulate",
        action="store_true",
        help="FILE is such a directory: trade through its prices with simulated fills, in the place of doing what "
        "the session did again, step by step",
    )
    add_history(replay)
    add_reading(replay)
    _common(replay)
    _server(replay)
    _profile(replay)
    _speed(replay)
    replay.set_defaults(func=_replay)

    backtest = commands.add_parser(
        "backtest",
        help="test a strategy on files of bars, or on any recording",
        description="Trades a strategy on historical data, with all cash and no rules but its own (--rules: with "
        "pools, operating state and limits), and shows how it performed.",
    )
    backtest.add_argument(
        "files",
        metavar="DATA",
        nargs="+",
        type=Path,
        help="files of bars or a folder of them (a universe), or one recording",
    )
    add_window(backtest)
    add_history(backtest)
    add_reading(backtest, "DATA")
    _common(backtest, strategy="the strategy to test (repeatable)")
    backtest.add_argument(
        "--benchmark", choices=("hold",), help="compare with buying and holding equal shares of all symbols"
    )
    add_rules(backtest)
    backtest.set_defaults(func=_backtest, speed=None)

    run = commands.add_parser(
        "run",
        help="trade on paper, in real or accelerated time, or at a broker",
        description="Trades on a simulated exchange in real time, with prices of a generator, a file or KIS; or, "
        "with --mode live, at a broker. The event loop, its lanes and its queues are the same.",
    )
    run.add_argument(
        "--mode",
        choices=("paper", "live"),
        default="paper",
        help="paper: a simulated exchange (the default); live: at --broker, with real money unless --paper-account",
    )
    run.add_argument(
        "--feed",
        metavar="synthetic|FILE|kis",
        help="where prices come from: a generator (the default), a recording, or KIS as they happen",
    )
    run.add_argument(
        "--broker", choices=("kis",), help="with --mode live: the broker, which sends the prices as well"
    )
    run.add_argument(
        "--paper-account", action="store_true", help="with --mode live: trade with the broker's paper account"
    )
    run.add_argument(
        "--confirm",
        default="",
        metavar="WORDS",
        help="with --mode live and real money: the words of broker.kis.confirmation",
    )
    add_history(run)
    add_reading(run)
    _common(run)
    _server(run)
    run.add_argument(
        "--record", action="store_true", help="store the market values of the session on the server of --db"
    )
    _profile(run)
    run.add_argument(
        "--speed",
        type=_paced_speed,
        metavar="N",
        help=f"N times real time (default {PACED_SPEED:g}; KIS sends in real time)",
    )
    run.set_defaults(func=_run)


def add_window(parser: argparse.ArgumentParser) -> None:
    """Add the options of what is traded: days, cash, costs."""
    _days(parser)
    parser.add_argument("--cash", metavar="N", help="cash at the start (default 100,000,000 in won, else 100,000)")
    parser.add_argument(
        "--fees",
        metavar="RATE",
        help="what each fill costs, as a share of its amount such as 0.0015 (default: the market's fee and tax)",
    )


def _days(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--from", dest="first", type=day_of, metavar="DATE", help="first day to trade, such as 2014-01-31"
    )
    parser.add_argument("--to", dest="last", type=day_of, metavar="DATE", help="last day to trade")


def add_history(parser: argparse.ArgumentParser) -> None:
    """Add ``--history``."""
    parser.add_argument(
        "--history",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="warm up strategies that declare bars with the rows of this file, or folder of bars, from before the "
        "session (repeatable)",
    )


def add_rules(parser: argparse.ArgumentParser) -> None:
    """Add ``--rules`` and ``--plain``, of which the second is the default."""
    rules = parser.add_mutually_exclusive_group()
    rules.add_argument("--rules", action="store_true", help="trade under pools, operating state and limits")
    rules.add_argument("--plain", action="store_true", help="trade without them (the default)")


def _common(
    parser: argparse.ArgumentParser,
    *,
    strategy: str = "trade this strategy instead of the built-in ones (repeatable)",
) -> None:
    parser.add_argument(
        "--strategy",
        action="append",
        default=[],
        metavar="FILE.py:Class",
        help=strategy,
    )
    add_param(parser)
    add_seed(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the summary")
    parser.add_argument("--strict", action="store_true", help="stop at the first error of a strategy (exit code 5)")
    parser.add_argument(
        "--verbose",
        action="store_true",
        help="add the checks that held, the limits in force and a backtest's queues; show the traceback of an "
        "unexpected error",
    )
    parser.add_argument("--report", type=Path, metavar="OUT.html", help="write a self-contained report with plots")
    parser.add_argument(
        "--data-dir", type=directory, metavar="DIR", help="run directory (default ./qts-data/<run>)"
    )
    parser.add_argument("--resume", action="store_true", help="continue the unfinished run in the data directory")
    add_adjust(parser)
    add_settings(parser)


def add_param(parser: argparse.ArgumentParser) -> None:
    """Add ``--param``."""
    parser.add_argument(
        "--param",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="set a parameter that the strategy declares (repeatable); of several strategies: CLASS.NAME=VALUE",
    )


def add_seed(parser: argparse.ArgumentParser) -> None:
    """Add ``--seed``."""
    parser.add_argument("--seed", type=int, default=7, metavar="N", help="seed of everything random (default 7)")


def add_adjust(parser: argparse.ArgumentParser) -> None:
    """Add ``--adjust``."""
    parser.add_argument(
        "--adjust",
        choices=("none", "split", "total"),
        help="prices that strategies see across splits and dividends: as traded (none, the default), without jumps "
        "at splits, or as if dividends were invested too; orders fill at prices as traded",
    )


def _profile(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--plain",
        action="store_true",
        help="trade without pools, operating state and limits, as qts backtest does",
    )


def _server(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--db",
        default="",
        metavar="URL",
        help="a server that follows the book: postgresql://user@host:port/database, its password from "
        "QTS_DB_PASSWORD, QTS_DB_PASSWORD_FILE or ~/.pgpass; or a file of copies: sqlite:///path/to/file (default: "
        "QTS_DB_URL, else none)",
    )
    parser.add_argument(
        "--sheets",
        default="",
        metavar="ID",
        help="a spreadsheet of Google Sheets that follows the book: its ID, or sheets://ID; credentials from "
        "the file named by QTS_SHEETS_CREDENTIALS (default: QTS_SHEETS_ID, else none)",
    )
    parser.add_argument(
        "--cache",
        default="",
        metavar="URL",
        help="a Redis or Valkey server where prices, positions, orders, risk and status are for other machines to "
        "read: redis://user@host:port, its password from QTS_CACHE_PASSWORD or "
        "QTS_CACHE_PASSWORD_FILE (default: QTS_CACHE_URL, else none)",
    )


def add_reading(parser: argparse.ArgumentParser, of: str = "FILE") -> None:
    """Add the options that declare what format the file ``of`` has and how its texts are to be read."""
    parser.add_argument("--format", choices=FORMATS, help=f"format of {of} (default: detected from its content)")
    parser.add_argument("--encoding", metavar="NAME", help="csv: encoding of FILE, such as cp949 (default utf-8)")
    parser.add_argument(
        "--delimiter",
        metavar="MARK",
        help="csv: comma, semicolon, tab or pipe (default: detected from its first line)",
    )
    parser.add_argument(
        "--timezone", metavar="ZONE", help="csv: zone of times without an offset, such as Asia/Seoul"
    )
    parser.add_argument(
        "--date-format",
        metavar="FORM",
        help="csv: epoch_s, epoch_ms, epoch_us, epoch_ns, excel, or a form such as %%d/%%m/%%Y",
    )
    parser.add_argument(
        "--symbol",
        metavar="CODE",
        help="bars: symbol of FILE, where neither a column nor its name shows it; qts replay without FILE: the "
        "symbol whose values are replayed from the server",
    )


def _speed(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--speed",
        type=_speed_value,
        default=None,
        metavar="max|N",
        help="N times real time, from the open on, or as fast as possible (max, the default)",
    )


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (value > 0 and math.isfinite(value)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def _recording_number(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not the number of a recording, such as 3")
    return int(text)


def _speed_value(text: str) -> float | None:
    return None if text == "max" else _positive(text)


def _paced_speed(text: str) -> float:
    if text == "max":
        raise argparse.ArgumentTypeError(
            "a paper session runs in real time or a multiple of it; qts replay runs as fast as possible"
        )
    return _positive(text)


def _demo(args: argparse.Namespace) -> int:
    from qts.cli.session import run_and_show
    from qts.runtime.wiring.plans import demo_plan

    return run_and_show(demo_plan(options_of(args)), args)


def _replay(args: argparse.Namespace) -> int:
    from qts.cli.session import run_and_show
    from qts.runtime.wiring.plans import has_steps, replay_plan

    if not args.simulate and has_steps(args.files):
        from qts.cli.repetition import repeat_and_show

        return repeat_and_show(options_of(args), args.files[0], args)
    return run_and_show(replay_plan(options_of(args), args.files, args.format), args)


def _backtest(args: argparse.Namespace) -> int:
    from qts.cli.session import run_and_show
    from qts.runtime.wiring.plans import backtest_plan

    args.plain = not args.rules
    return run_and_show(backtest_plan(options_of(args), args.files, args.format), args)


def _run(args: argparse.Namespace) -> int:
    from qts.cli.session import run_and_show
    from qts.errors import InputError
    from qts.runtime.wiring.plans import KIS, live_plan, paper_plan

    if args.mode == "live":
        if args.broker is None:
            raise InputError("--mode live needs the broker: give --broker kis")
        if args.feed not in (None, args.broker):
            raise InputError(f"--feed {args.feed}: with --mode live the prices are those of --broker {args.broker}")
        plan = live_plan(options_of(args), args.broker, paper_account=args.paper_account, confirmation=args.confirm)
        return run_and_show(plan, args)
    if args.broker is not None or args.paper_account or args.confirm:
        raise InputError("--broker, --paper-account and --confirm are for --mode live; give it, or leave them out")
    feed = args.feed or "synthetic"
    if args.speed is None and feed != KIS:
        args.speed = PACED_SPEED
    return run_and_show(paper_plan(options_of(args), feed, args.format), args)


def declared_reading(args: argparse.Namespace) -> ReadAs:
    """Return what the options of :func:`add_reading` declare; a command without them declares nothing."""
    from qts.market.files.reading import read_as

    return read_as(
        encoding=getattr(args, "encoding", None),
        delimiter=getattr(args, "delimiter", None),
        timezone=getattr(args, "timezone", None),
        date_format=getattr(args, "date_format", None),
        symbol=getattr(args, "symbol", None),
    )


def options_of(args: argparse.Namespace) -> Any:
    """Return the session's options from the parsed arguments of a command that runs sessions."""
    from qts.runtime.session.session_plan import Options, Profile

    return Options(
        seed=args.seed,
        strategies=tuple(args.strategy),
        params=tuple(args.param),
        data_dir=args.data_dir,
        resume=args.resume,
        config_dir=args.config,
        overrides=_account_of(args) | overrides_of(args.set),
        speed=args.speed,
        read_as=declared_reading(args),
        strict=args.strict,
        first_day=getattr(args, "first", None),
        last_day=getattr(args, "last", None),
        benchmark=getattr(args, "benchmark", None),
        history=tuple(getattr(args, "history", ())),
        db=getattr(args, "db", ""),
        sheets=getattr(args, "sheets", ""),
        record=getattr(args, "record", False),
        recording=getattr(args, "recording", None),
        cache=getattr(args, "cache", ""),
        day=getattr(args, "day", None),
        profile=Profile.PLAIN if getattr(args, "plain", False) else Profile.RULES,
        outputs={} if args.report is None else {"the report": args.report},
    )


def _account_of(args: argparse.Namespace) -> dict[str, str]:
    """Return the settings behind the account's own options. Raises InputError for what is no number."""
    from qts.errors import InputError

    settings = {}
    for option, setting in (("cash", "runtime.equity_start"), ("fees", "instruments.costs")):
        text = getattr(args, option, None)
        if text is None:
            continue
        number = text.replace(",", "").replace("_", "")
        if not _NUMBER.fullmatch(number):
            raise InputError(f"--{option} {text}: must be a number such as {_EXAMPLES[option]}")
        if option == "fees" and Decimal(number) >= 1:
            raise InputError(f"--fees {text}: must be a share of an amount, below 1; 0.0015 is 0.15 %")
        settings[setting] = number
    if adjust := getattr(args, "adjust", None):
        settings["runtime.adjust"] = adjust
    return settings
