"""Settings of KIS, group ``kis`` of ``config/broker.yaml``; what is secret is not among them.

Keys, account number and HTS ID come from the environment (:mod:`qts.broker.kis.credentials`). None of the settings
changes the result of a replay, so none is part of the run id.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta

from qts.broker.kis.stream_config import StreamConfig

RELOADABLE: Final[frozenset[str]] = frozenset()
_DISPLAY: Final = {"display": True}
Account: TypeAlias = Literal["paper", "live"]
"""The kinds of accounts; each has hosts, keys and limits of its own."""
Exchange: TypeAlias = Literal["KRX", "NXT", "SOR"]
"""The exchanges that an order can be sent to; SOR leaves the choice to KIS."""

REAL_MONEY: Final = "I trade real money"
"""The words that are written where real money is traded."""
LIVE_REST: Final = "https://openapi.koreainvestment.com:9443"
PAPER_REST: Final = "https://openapivts.koreainvestment.com:29443"
LIVE_WEBSOCKET: Final = "ws://ops.koreainvestment.com:21000"
PAPER_WEBSOCKET: Final = "ws://ops.koreainvestment.com:31000"
_DEFAULTS: Final = {
    "live_rest": LIVE_REST,
    "live_websocket": LIVE_WEBSOCKET,
    "paper_rest": PAPER_REST,
    "paper_websocket": PAPER_WEBSOCKET,
}


class KisConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings of KIS; they apply to sessions that trade, or are fed, by it."""

    account: Annotated[
        Account,
        Meta(
            description="the account that may be used: paper, or live, which trades real money and has to be asked "
            "for on the command line as well",
            extra=_DISPLAY,
        ),
    ] = "paper"
    exchange: Annotated[
        Exchange,
        Meta(description="where orders go that name no exchange; a paper account takes KRX alone", extra=_DISPLAY),
    ] = "KRX"
    live_rest: Annotated[
        str,
        Meta(
            description="where the REST calls of a live account go · https, or http on this machine", extra=_DISPLAY
        ),
    ] = LIVE_REST
    live_websocket: Annotated[
        str,
        Meta(
            description="where the websocket of a live account is · wss, ws on this machine, or the one of KIS",
            extra=_DISPLAY,
        ),
    ] = LIVE_WEBSOCKET
    live_requests_per_s: Annotated[
        int,
        Meta(ge=1, le=18, description="requests in a second with a live account; KIS takes 18", extra=_DISPLAY),
    ] = 15
    paper_rest: Annotated[
        str,
        Meta(
            description="where the REST calls of a paper account go · https, or http on this machine",
            extra=_DISPLAY,
        ),
    ] = PAPER_REST
    paper_websocket: Annotated[
        str,
        Meta(
            description="where the websocket of a paper account is · wss, ws on this machine, or the one of KIS",
            extra=_DISPLAY,
        ),
    ] = PAPER_WEBSOCKET
    paper_requests_per_s: Annotated[
        int,
        Meta(ge=1, le=18, description="requests in a second with a paper account; KIS takes 1", extra=_DISPLAY),
    ] = 1
    answer_s: Annotated[
        float,
        Meta(gt=0, le=60, description="how long, in seconds, KIS has for the answer to one call", extra=_DISPLAY),
    ] = 5.0
    confirmation: Annotated[
        str,
        Meta(
            max_length=100,
            description=f"to trade real money, the words {REAL_MONEY!r}, which --confirm has to repeat; empty: no",
            extra=_DISPLAY,
        ),
    ] = ""
    stream: Annotated[StreamConfig, Meta(description="the websocket: what comes by it, when it counts as lost")] = (
        StreamConfig()
    )
    visibility_lag_s: Annotated[
        int,
        Meta(
            ge=0,
            le=600,
            description="seconds for which an order that KIS has taken may be absent from its lists",
            extra=_DISPLAY,
        ),
    ] = 10

    def problems(self) -> list[tuple[str, str]]:
        """Return combinations that contradict each other, as (dotted field, message)."""
        changed = [name for name, default in _DEFAULTS.items() if getattr(self, name) != default]
        found: list[tuple[str, str]] = []
        if self.account == "paper" and self.exchange != "KRX":
            found.append(("exchange", f"is {self.exchange}, and a paper account takes orders for KRX alone"))
        if not changed:
            return found
        from qts.access import is_safe  # it brings encryption along, which the default settings do not need

        for name in changed:
            url = getattr(self, name)
            if name.endswith("_rest"):
                if not is_safe(url):
                    found.append((name, "has to be https://HOST:PORT, or http:// on this machine"))
            elif url not in (LIVE_WEBSOCKET, PAPER_WEBSOCKET) and not is_safe(f"http{url.removeprefix('ws')}"):
                found.append((name, "has to be wss://HOST:PORT, or ws:// on this machine, or that of KIS"))
        if self.live_rest == PAPER_REST or self.live_websocket == PAPER_WEBSOCKET:
            found.append(("live_rest", "a live account is not at the address of paper accounts"))
        if self.paper_rest == LIVE_REST or self.paper_websocket == LIVE_WEBSOCKET:
            found.append(("paper_rest", "a paper account is not at the address of live accounts"))
        return found
