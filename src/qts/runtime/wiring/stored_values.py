"""Opens the market values on a server as the input of a session, and makes the recorder that stores them there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from qts.config.tree import QtsConfig
from qts.errors import InputError, Unavailable
from qts.market.contracts import Feed, LiveFeed
from qts.market.series.wanted import WantedBars
from qts.market.with_history import StoredRows, begin_of
from qts.runtime.drivers.standard_output import say
from qts.runtime.session.session_plan import FindRows, Options
from qts.runtime.wiring.server import URL, url_of

if TYPE_CHECKING:  # without a server nothing of it is imported
    from qts.runtime.recording.tick_recorder import TickRecorder


def open_stored(options: Options, tree: QtsConfig, currency: str | None, environ: Mapping[str, str]) -> Feed:
    """Return the stored values of the symbol that is given, of the days and the recording that are given.

    ``currency`` is that of the account, None where the user has set none. Raises InputError for a server that
    cannot be used or has no such values, and Unavailable.
    """
    symbol = options.read_as.symbol
    if not url_of(options, environ) or not symbol:
        raise InputError(
            "a replay needs an input: name a FILE, or the values on a server by --db URL --symbol CODE"
        )
    url = _server_url(options, environ, "values are replayed")
    from qts.db.access import parse
    from qts.db.ticks.connecting import connect_for_ticks
    from qts.db.ticks.db_feed import Stored
    from qts.db.ticks.tick_store import TickStore

    access = parse(url, environ)
    return Stored(
        partial(TickStore, partial(connect_for_ticks, access, "qts replay"), access.place),
        access.place,
        symbol,
        first=options.first_day,
        last=options.last_day,
        recording=options.recording,
        currency=currency,
        own=tree.instruments.build(),
    ).open()


def finder_of(options: Options, environ: Mapping[str, str]) -> FindRows | None:
    """Return what finds the rows of the server from before a session; None without one. Nothing is imported then.

    Files of ``--history`` count instead. What is told, such as a server that is away, is no error.
    """
    url = url_of(options, environ)
    return partial(_find_rows, options, url, environ) if url else None


def _find_rows(
    options: Options, url: str, environ: Mapping[str, str], wanted: Sequence[WantedBars], feed: Feed
) -> StoredRows | None:
    from qts.db.servers import file_of, require_driver

    if file_of(url) is not None:  # it has no market values
        return None
    if options.history:
        say("strategies are warmed up with the files of --history, and not with what the server has")
        return None
    require_driver()
    from qts.db.access import parse
    from qts.db.ticks.connecting import connect_for_ticks
    from qts.db.ticks.stored_rows import find_rows
    from qts.db.ticks.tick_store import TickStore

    begin_ns = begin_of(feed)
    if begin_ns is None:
        return None
    access = parse(url, environ)
    store = partial(TickStore, partial(connect_for_ticks, access, "qts warm-up"), access.place)
    try:
        found = find_rows(store, access.place, wanted, feed.instruments, begin_ns)
    except (InputError, Unavailable) as error:
        say(f"strategies are not warmed up with what the server has: {error}")
        return None
    if found is None:
        say(f"{access.place} has no market values and no bars from before the session to warm up strategies with")
    return found


def require_recording_server(options: Options, environ: Mapping[str, str]) -> None:
    """Raise InputError where market values are to be stored and no server that can is named; it writes nothing."""
    if options.record:
        _server_url(options, environ, "--record stores values")


def recorder_of(
    options: Options, tree: QtsConfig, feed: Feed | LiveFeed, source: str, environ: Mapping[str, str]
) -> TickRecorder | None:
    """Return the recorder of a session that stores its market values, not started; None when it does not.

    ``source`` names the recording: of a pulled feed its source, so that a resumed session goes on with it.
    Raises InputError without a server, or for one that cannot be used.
    """
    if not options.record:
        return None
    url = _server_url(options, environ, "--record stores values")
    from qts.db.access import parse
    from qts.runtime.recording.tick_recorder import TickRecorder
    from qts.runtime.recording.wire import Greeting

    parse(url, environ)
    currency = next(iter(feed.instruments.values())).currency
    keep = tree.store.tick_retention_days, tree.store.minute_retention_days
    return TickRecorder(Greeting(url, source, currency, feed.max_age_ns, *keep))


def _server_url(options: Options, environ: Mapping[str, str], what: str) -> str:
    """Return the URL of the server, with its driver installed. Raises InputError for none, or for a file."""
    url = url_of(options, environ)
    if not url:
        raise InputError(f"{what} on a server: name it by --db URL, or in {URL}")
    from qts.db.servers import file_of, require_driver

    if file_of(url) is not None:
        raise InputError(f"{what} on a server, and {url} is a file; give postgresql://user@host:port/database")
    require_driver()
    return url
