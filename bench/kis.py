"""What frames of KIS cost: decoding beside splitting, the way to a P1 handler, and P0 beside 2,000 frames a second.

``python -m bench.kis [--quick] [--json] [--only PART]``. The parts:

``decode``: decoding a frame beside splitting it into its fields, by turns.
``way``: from the send of a frame to the P1 handler of its quote, beside a websocket that publishes a quote which is
there already, by turns. The sender is a process of its own.
``load``: 41 symbols at 2,000 frames a second: lost frames, and P0 beside the frames against P0 beside the same
values at the same rate without a websocket and without decoding, in pairs. So what the values themselves cost is in
both. P0 without any value is shown as well.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from decimal import Decimal
from functools import partial
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import aiohttp

from bench.figures import about, latency_us, median_ratio, percentile, targets_table
from bench.latency import under
from bench.loads import Load
from bench.store_book import target
from bench.suite import measure_parts, parser_of, print_report
from qts.broker.kis.credentials import AccountNumber, KisAccess, Secret
from qts.broker.kis.feed import KisFeed
from qts.broker.kis.frames import FrameDecoder
from qts.broker.kis.pauses import pause_on
from qts.broker.kis.quotations import PriceRow
from qts.broker.kis.stream_config import StreamConfig
from qts.clock import PacedClock, SystemClock
from qts.errors import BrokerUnavailable
from qts.event.config import EventConfig
from qts.event.contracts import Event, EventPriority, EventType
from qts.event.dispatcher import EventDispatcher
from qts.ids import seeded
from qts.market.contracts import MarketValue, Quote, Tick
from qts.market.krx import krx_instrument
from qts.runtime.market_input import EVENT_OF_VALUE

MOST_DECODE, MOST_WAY, MOST_P0 = 3.0, 2.0, 1.1
FRAMES, QUICK_FRAMES = 20_000, 4_000
RUNS, QUICK_RUNS = 5, 3
PAIRS, QUICK_PAIRS = 9, 2
P0_COUNT, QUICK_P0_COUNT = 500, 150
RATE = 2_000
WAY_RATE, WAY_S, QUICK_WAY_S = 200, 5.0, 1.5
SYMBOLS = [f"{number:06}" for number in range(5_930, 5_930 + 41)]
_TRADE = (
    "{symbol}^100000^71950^2^1350^1.91^71690.50^71000^72300^70600^72000^71900^{size}^{volume}^595403999350^21115^28170"
    "^7055^136.06^3060313^4163762^{taker}^0.51^29.46^090014^2^950^090708^5^-350^090030^2^1350^20260122^20^N^93994"
    "^113056^1668973^822214^0.14^10584139^78.47^0^^71000^2"
)
_SIDE = "^".join(str(71_500 + 100 * level) for level in range(10))
_BIDS = "^".join(str(71_400 - 100 * level) for level in range(10))
_SIZES = "^".join(str(95_478 + 10_000 * level) for level in range(20))
_BOOK = (
    f"005930^100000^0^{_SIDE}^{_BIDS}^{_SIZES}^1420444^2954464^0^0^0^0^326405^-72000^5^-100.00^7504606^1^1^0^0^0"
    "^65950^4927^0^2"
)
_SENDER = """
import asyncio, json, sys
from time import perf_counter_ns
from aiohttp import web
symbols, rate, trade = json.loads(sys.argv[1]), float(sys.argv[2]), sys.argv[3]

async def serve(request):
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    wanted = set()
    sending = None
    async def send():
        number, begun = 0, perf_counter_ns()
        while True:
            due = begun + int(number * 1e9 / rate)
            wait = (due - perf_counter_ns()) / 1e9
            if wait > 0.0005:
                await asyncio.sleep(wait)
            symbol = symbols[number % len(symbols)]
            number += 1
            stamp = f"{perf_counter_ns() // 1000:014}"
            text = trade.format(symbol=symbol, size=number, volume=stamp, taker=1)
            await socket.send_str("0|H0STCNT0|001|" + text)
    async for message in socket:
        asked = json.loads(message.data)["body"]["input"]
        wanted.add(asked["tr_key"])
        body = {"rt_cd": "0", "msg_cd": "OPSP0000", "msg1": "SUBSCRIBE SUCCESS"}
        await socket.send_str(json.dumps({"header": asked, "body": body}))
        if sending is None and len(wanted) == len(symbols):
            sending = asyncio.create_task(send())
    if sending is not None:
        sending.cancel()
    return socket

async def main():
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", serve)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)

asyncio.run(main())
"""


# -- decode --------------------------------------------------------------------------------------------------


def measure_decode(*, quick: bool) -> dict[str, Any]:
    """Return the times of splitting and of decoding a frame of each kind, in ns, and their ratios."""
    count, runs = (QUICK_FRAMES, QUICK_RUNS) if quick else (FRAMES, RUNS)
    found: dict[str, Any] = {"targets": []}
    for name, kind in (("trade", 1), ("20 trades", 20), ("book", 0)):
        frames = list(_frames(kind, max(count // max(kind, 1), 200)))
        splits, decodes = [], []
        for _ in range(runs):
            splits.append(_timed(_split, frames))
            decoder = FrameDecoder({"005930"}, late_ns=0, tell=print)
            decodes.append(_timed(partial(_decode, decoder), frames))
            assert not decoder.refused, decoder.refused
        ratio = median_ratio(decodes, splits)
        found[name] = {"split_ns": round(min(splits)), "decode_ns": round(min(decodes)), "ratio": ratio}
        found["targets"].append(target(f"decoding ÷ splitting, {name}", ratio, MOST_DECODE))
    return found


def _frames(packed: int, count: int) -> Iterator[str]:
    """Yield frames that differ, ``packed`` trades in each; 0: books."""
    for number in range(count):
        if not packed:
            yield f"0|H0STASP0|001|{_BOOK.replace('326405', str(number))}"
            continue
        first = 1_000_000 + number * packed
        records = [_TRADE.format(symbol="005930", size=7, volume=first + n, taker=5) for n in range(packed)]
        yield f"0|H0STCNT0|{packed:03}|{'^'.join(records)}"


def _split(text: str) -> list[str]:
    return text.split("|", 3)[3].split("^")


def _decode(decoder: FrameDecoder, text: str) -> list[MarketValue]:
    return decoder.decode(text, 1)


def _timed(call: Callable[[str], object], frames: list[str]) -> float:
    begun = perf_counter_ns()
    for text in frames:
        call(text)
    return (perf_counter_ns() - begun) / len(frames)


# -- way -----------------------------------------------------------------------------------------------------


def measure_way(*, quick: bool) -> dict[str, Any]:
    """Return the times from the send of a frame to the P1 handler, decoded and not."""
    runs, seconds = (QUICK_RUNS, QUICK_WAY_S) if quick else (RUNS, WAY_S)
    decoded: list[list[int]] = []
    bare: list[list[int]] = []
    with _sender(SYMBOLS[:1], WAY_RATE) as url:
        for _ in range(runs):
            decoded.append(asyncio.run(_way(url, seconds, _run_feed)))
            bare.append(asyncio.run(_way(url, seconds, _run_bare)))
    medians = [[statistics.median(run) for run in each] for each in (decoded, bare)]
    ratio = median_ratio(*medians)
    return {
        "decoded": latency_us(decoded),
        "bare": latency_us(bare),
        "targets": [target("frame → P1 handler ÷ the same without decoding", ratio, MOST_WAY)],
    }


Publish = Callable[[EventType, Any, str], object]


async def _way(url: str, seconds: float, run: Callable[[str, Publish, deque[int]], Any]) -> list[int]:
    """Return the ns from the send of each frame to its handler."""
    dispatcher = EventDispatcher(EventConfig(stop_timeout_ms=0))
    waits: list[int] = []
    stamps: deque[int] = deque()

    def on_event(event: Event) -> None:
        value = event.body
        if isinstance(value, Quote):
            sent_us = stamps.popleft() if value.volume is None else int(value.volume)
            waits.append(perf_counter_ns() - sent_us * 1_000)

    dispatcher.register_handler(EventPriority.P1_HIGH, on_event)
    await dispatcher.start()
    task = asyncio.create_task(run(url, dispatcher.publish, stamps))
    await asyncio.sleep(seconds)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await dispatcher.stop()
    return waits[len(waits) // 10 :]


async def _run_feed(url: str, publish: Publish, stamps: deque[int]) -> None:
    await _feed(url, SYMBOLS[:1]).run(
        lambda value: publish(EVENT_OF_VALUE[value.__class__], value, "feed"), lambda gap: None
    )


async def _run_bare(url: str, publish: Publish, stamps: deque[int]) -> None:
    """Publish a quote that is there already for each text; its stamp is cut out at its place."""
    quote = Quote(SYMBOLS[0], 0, Decimal(71_900), Decimal(72_000), Decimal(1), Decimal(1), Decimal(71_950))
    tick = Tick(SYMBOLS[0], 0, Decimal(71_950), Decimal(7), buyer_is_maker=True)
    async with aiohttp.ClientSession() as http, http.ws_connect(f"{url}/") as socket:
        asked = {"tr_id": "H0STCNT0", "tr_key": SYMBOLS[0]}
        await socket.send_json({"body": {"input": asked}})
        while True:
            text = (await socket.receive()).data
            if text[0] != "0":
                continue
            at = text.index("^71900^") + 7
            stamps.append(int(text[text.index("^", at) + 1 :][:14]))
            publish(EventType.PRICE_TICK, tick, "feed")
            publish(EventType.ORDERBOOK_UPDATE, quote, "feed")


# -- load ----------------------------------------------------------------------------------------------------


class Frames(Load):
    """41 symbols of the live feed at 2,000 frames a second, each value a P1 event."""

    name = "frames"
    config = EventConfig(stop_timeout_ms=0)

    def __init__(self, url: str) -> None:
        self._url = url
        self._task: asyncio.Task[None] | None = None
        self.numbers: list[int] = []
        self.handled = 0

    def attach(self, dispatcher: EventDispatcher) -> None:
        super().attach(dispatcher)
        dispatcher.register_handler(EventPriority.P1_HIGH, self.on_p1)

    def on_p1(self, event: Event) -> None:
        if isinstance(event.body, Tick):
            self.handled += 1

    def press(self) -> None:
        self._task = asyncio.get_running_loop().create_task(
            _feed(self._url, SYMBOLS).run(self.on_value, lambda gap: None)
        )

    def on_value(self, value: MarketValue) -> None:
        if isinstance(value, Tick):
            self.numbers.append(int(value.size))
        self.dispatcher.publish(EVENT_OF_VALUE[value.__class__], value, "feed")

    @property
    def busy(self) -> bool:
        return self.handled > 500

    @property
    def lost(self) -> int:
        """How many frames between the first and the last did not come."""
        return self.numbers[-1] - self.numbers[0] + 1 - len(self.numbers) if self.numbers else 0

    def release(self) -> None:
        if self._task is not None:
            self._task.cancel()


class Values(Frames):
    """The values of those frames at that rate, made before: no websocket, nothing to decode."""

    name = "values"

    def press(self) -> None:
        decoder = FrameDecoder(set(SYMBOLS), late_ns=0, tell=print)
        made = [
            decoder.decode(f"0|H0STCNT0|001|{_TRADE.format(symbol=one, size=1, volume=1_000, taker=1)}", 1)
            for one in SYMBOLS
        ]
        self._task = asyncio.get_running_loop().create_task(self._publish(made))

    async def _publish(self, made: list[list[MarketValue]]) -> None:
        """Publish the values of a frame whenever the sender of frames would send one."""
        number, begun_ns = 0, perf_counter_ns()
        while True:
            wait_s = (begun_ns + number * 1e9 / RATE - perf_counter_ns()) / 1e9
            await asyncio.sleep(max(wait_s, 0))
            for value in made[number % len(made)]:
                self.dispatcher.publish(EVENT_OF_VALUE[value.__class__], value, "feed")
            number += 1


class Idle(Load):
    """The same dispatcher, and no frames."""

    config = Frames.config


def measure_load(*, quick: bool) -> dict[str, Any]:
    """Return P0 beside the frames and beside their values, in pairs, and how many frames were lost."""
    pairs, count = (QUICK_PAIRS, QUICK_P0_COUNT) if quick else (PAIRS, P0_COUNT)
    loads: dict[str, Callable[[str], Load]] = {
        "frames": Frames,
        "values": Values,
        "idle": lambda url: Idle(),
    }
    waits: dict[str, list[float]] = {name: [] for name in loads}
    lost, came = 0, 0
    with _sender(SYMBOLS, RATE) as url:
        for number in range(pairs):
            for name in list(loads) if number % 2 else reversed(loads):
                load = loads[name](url)
                samples, became = asyncio.run(under(load, 1, count, lambda config: EventDispatcher(config)))
                assert not became["lost"], became
                every = sorted(wait for one in samples for source in one.values() for wait in source["due"])
                waits[name].append(percentile(every, 0.5))
                if name == "frames" and isinstance(load, Frames):
                    lost, came = lost + load.lost, came + len(load.numbers)
    ratios = [frames / values for frames, values in zip(waits["frames"], waits["values"], strict=True)]
    return {
        "pairs": [round(ratio, 2) for ratio in ratios],
        "frames": came,
        "p0_us": {name: round(statistics.median(each) / 1_000, 1) for name, each in waits.items()},
        "targets": [
            target("frames lost of 41 symbols at 2,000 a second", float(lost), 0),
            target("P0 beside the frames ÷ beside their values", round(statistics.median(ratios), 3), MOST_P0),
        ],
    }


# -- parts ---------------------------------------------------------------------------------------------------


class _NoQuotations:
    """Answers no question about a symbol."""

    async def price(self, symbol: str) -> PriceRow:
        raise BrokerUnavailable("it is not asked here")

    async def book(self, symbol: str) -> dict[str, str]:
        raise BrokerUnavailable("it is not asked here")


def _feed(url: str, symbols: list[str]) -> KisFeed:
    access = KisAccess(
        account="paper",
        number=AccountNumber("12345678", "01"),
        app_key=Secret("key"),
        app_secret=Secret("secret"),
        hts_id=Secret(""),
        rest=url,
        websocket=url,
    )

    async def approval() -> Secret:
        return Secret("approval")

    clock = PacedClock(SystemClock().now())
    stream = StreamConfig(command_ms=0, late_s=0, registrations=len(symbols))
    return KisFeed(
        access,
        {symbol: krx_instrument(symbol) for symbol in symbols},
        approval=approval,
        quotations=_NoQuotations(),
        config=stream,
        clock=clock,
        pause=pause_on(clock),
        chance=seeded(7, "kis"),
        tell=lambda text: None,
        poll_s=3_600.0,
    )


@contextmanager
def _sender(symbols: list[str], rate: int) -> Iterator[str]:
    """Run the sender of trades of ``symbols``, once a client has registered for all of them."""
    command = [sys.executable, "-c", _SENDER, json.dumps(symbols), str(rate), _TRADE]
    root = Path(__file__).parents[1]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root) as sender:
        assert sender.stdout is not None
        assert sender.stdin is not None
        try:
            yield f"ws://127.0.0.1:{int(sender.stdout.readline())}"
        finally:
            with suppress(OSError):
                sender.stdin.close()
            sender.kill()


PARTS: dict[str, Callable[..., dict[str, Any]]] = {
    "decode": measure_decode,
    "way": measure_way,
    "load": measure_load,
}


def show(report: dict[str, Any]) -> str:
    """The figures as a table, and what they are made of."""
    lines = [about(report), "", targets_table(report["targets"]), ""]
    if "decode" in report:
        lines += [
            f"{name}: split {one['split_ns']:,} ns, decoded {one['decode_ns']:,} ns"
            for name, one in report["decode"].items()
        ]
    if "way" in report:
        lines += [
            f"{name}: p50 {report['way'][name]['p50']:,.0f} µs, p99 {report['way'][name]['p99']:,.0f} µs"
            for name in ("decoded", "bare")
        ]
    if "load" in report:
        load = report["load"]
        lines += [f"{load['frames']:,} frames; P0 in pairs: {load['pairs']}; P0 at the median, µs: {load['p0_us']}"]
    return "\n".join(lines)


def main(argv: list[str]) -> int:
    parser: argparse.ArgumentParser = parser_of("kis", __doc__, "fewer frames, runs and pairs")
    parser.add_argument("--only", choices=PARTS, help="one part alone")
    chosen = parser.parse_args(argv)
    parts = {chosen.only: PARTS[chosen.only]} if chosen.only else PARTS
    return print_report(measure_parts(parts, quick=chosen.quick), show, as_json=chosen.json)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
