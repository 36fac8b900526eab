"""What orders at a real broker cost a session, and what a slow broker costs everything else.

``python -m bench.gateway [--quick] [--json] [--only PART]``. The parts:

``own``: from a submitted order to the socket, beside a bare fdatasync of the same bytes, by turns.
``stop``: how long after a stop new entries still reach a broker that takes 500 ms, with 200 of them given.
``slow``: P0, prices and operators of a session whose broker takes ten seconds, beside one whose broker answers at
once, by turns.
``restart``: from the start of the gateway of a killed session until the broker's books are read, at a broker that
takes 15 requests a second and 500 ms for each; and until an emergency stop is in force at one that answers nothing.

The replay with many orders beside the package of another checkout is ``python -m bench.replay --only "order every
50 rows" --against CHECKOUT``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

from bench import gateway_own, gateway_session
from bench.figures import about, targets_table
from bench.suite import measure_parts, parser_of, print_report

PARTS: dict[str, Callable[..., dict[str, Any]]] = {
    "own": gateway_own.measure_own,
    "stop": gateway_own.measure_stop,
    "slow": gateway_session.measure_slow,
    "restart": gateway_own.measure_restart,
}
SHOWN: dict[str, Callable[[dict[str, Any]], str]] = {
    "own": gateway_own.show_own,
    "stop": gateway_own.show_stop,
    "slow": gateway_session.show_slow,
    "restart": gateway_own.show_restart,
}


def show(report: dict[str, Any]) -> str:
    """The figures as a table, and what they are made of."""
    lines = [about(report), "", targets_table(report["targets"]), ""]
    lines += [shown(report[name]) for name, shown in SHOWN.items() if name in report]
    return "\n".join(lines)


def main(argv: list[str]) -> int:
    parser: argparse.ArgumentParser = parser_of("gateway", __doc__, "fewer orders, stops and pairs")
    parser.add_argument("--only", choices=PARTS, help="one part alone")
    chosen = parser.parse_args(argv)
    parts = {chosen.only: PARTS[chosen.only]} if chosen.only else PARTS
    return print_report(measure_parts(parts, quick=chosen.quick), show, as_json=chosen.json)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
