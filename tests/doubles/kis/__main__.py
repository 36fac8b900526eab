"""The double as a process: ``python -m tests.doubles.kis --port 8080 --ws-port 8081``.

Besides KIS's own calls it takes ``POST /double`` on its REST port, by which another process does what a test would
do: ``{"do": "market.trade", "with": ["005930", 70000], "by_name": {"side": "5"}}`` is answered by
``{"result": …}``, and a dotted name without ``with`` by the value of that attribute.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web

from tests.doubles.kis.clock import OPEN_DAY
from tests.doubles.kis.double import KisDouble
from tests.doubles.kis.settings import Settings

SETTING = "setting"


def parsed(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.doubles.kis", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port of REST; 0 lets the system choose")
    parser.add_argument("--ws-port", type=int, default=0, help="port of the websocket")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--paper", action="store_true", help="be the paper host")
    parser.add_argument(
        "--start", type=moment, default=OPEN_DAY, help="when its clock begins, with an offset; now: the real time"
    )
    parser.add_argument("--speed", type=float, default=1.0, help="seconds of its clock in a real second")
    parser.add_argument("--cash", type=int, default=100_000_000)
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=JSON", help="a setting, such as matching='\"told\"'"
    )
    return parser.parse_args(arguments)


def moment(text: str) -> datetime:
    """Read when the clock begins."""
    return datetime.now(UTC) if text == "now" else datetime.fromisoformat(text)


def settings_of(pairs: list[str]) -> Settings:
    """Return settings changed by texts NAME=JSON. Raises SystemExit for an unknown name."""
    settings = Settings()
    for pair in pairs:
        name, _, value = pair.partition("=")
        if not hasattr(settings, name):
            raise SystemExit(f"no setting {name!r}; there are {sorted(asdict(settings))}")
        setattr(settings, name, json.loads(value))
    return settings


def done(kis: KisDouble, asked: dict[str, Any]) -> Any:
    """Do what a test in another process asks for."""
    if asked["do"] == "clock.jump":
        return kis.clock.jump(timedelta(seconds=float(asked["with"][0])))
    if asked["do"] == SETTING:
        return setattr(kis.settings, asked["with"][0], asked["with"][1])
    found: Any = kis
    for name in asked["do"].split("."):
        found = found[name] if isinstance(found, dict) else getattr(found, name)
    if "with" in asked or "by_name" in asked:
        found = found(*asked.get("with", []), **asked.get("by_name", {}))
    return found


def plain(value: Any) -> Any:
    """Return a value as JSON can hold it."""
    if is_dataclass(value) and not isinstance(value, type):
        return {name: plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, dict):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(one) for one in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


async def serve(options: argparse.Namespace) -> None:
    """Serve until SIGTERM or SIGINT; the first line of the output has the two addresses and the keys."""
    kis = KisDouble(
        seed=options.seed,
        paper=options.paper,
        start=options.start,
        speed=options.speed,
        settings=settings_of(options.set),
        cash=options.cash,
        port=options.port,
        ws_port=options.ws_port,
    )

    async def control(request: web.Request) -> web.Response:
        return web.json_response({"result": plain(done(kis, await request.json()))})

    kis.routes.append(web.post("/double", control))
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with kis:
        found = {"rest_url": kis.rest_url, "ws_url": kis.ws_url, "keys": plain(kis.keys)}
        print(json.dumps(found), flush=True)
        await ended.wait()


if __name__ == "__main__":
    asyncio.run(serve(parsed(sys.argv[1:])))
