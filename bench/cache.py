"""What a cache costs: a read in memory, a read on a server, a thousand symbols at once, and its manager.

``python -m bench.cache [--quick] [--json] [--only PART]`` starts a Valkey of its own, so it needs the extras
``redis`` and ``test``. The parts:

``memory``: a read of the cache in memory beside a lookup in a dict.
``read``: a read on a server beside a bare HGETALL of redis-py, one after the other over a connection each.
``many``: the values of 1,000 symbols, read and written in one call, beside a bare pipeline of redis-py.
``manager``: the same reads through the manager, which decodes and judges values, and through the client alone.
``session``: how long P0 events wait beside a session's publisher: the cache answers, hangs, refuses, or is late.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

from bench import cache_clients, cache_manager, cache_session
from bench.figures import about, targets_table
from bench.suite import measure_parts, parser_of, print_report

PARTS: dict[str, Callable[..., dict[str, Any]]] = {
    "memory": cache_clients.measure_memory,
    "read": cache_clients.measure_read,
    "many": cache_clients.measure_many,
    "manager": cache_manager.measure,
    "session": cache_session.measure,
}
SHOWN: dict[str, Callable[[dict[str, Any]], str]] = {
    "memory": cache_clients.show_memory,
    "read": cache_clients.show_read,
    "many": cache_clients.show_many,
    "manager": cache_manager.show,
    "session": cache_session.show,
}


def show(report: dict[str, Any]) -> str:
    """The figures as a table, and what they are made of."""
    lines = [about(report), "", targets_table(report["targets"]), ""]
    lines += [shown(report[name]) for name, shown in SHOWN.items() if name in report]
    return "\n".join(lines)


def main(argv: list[str]) -> int:
    parser: argparse.ArgumentParser = parser_of("cache", __doc__, "fewer runs and reads")
    parser.add_argument("--only", choices=PARTS, help="one part alone")
    chosen = parser.parse_args(argv)
    parts = {chosen.only: PARTS[chosen.only]} if chosen.only else PARTS
    return print_report(measure_parts(parts, quick=chosen.quick), show, as_json=chosen.json)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
