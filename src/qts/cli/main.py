"""``qts``: finds the command, runs it, turns errors into one clear line and an exit code.

Exit codes: 0 done · 1 something unexpected · 2 what was given cannot be used · 3 the store failed ·
4 an invariant was breached · 130 stopped by the user (resume with --resume).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from qts.cli import config_cmd, docs_cmd, events_cmd, safety_cmd, session_cmd, state_cmd
from qts.errors import QtsError

STOPPED_BY_USER = 130


def build_parser() -> argparse.ArgumentParser:
    """The whole command line; modules that do work are imported only by the command that runs."""
    parser = argparse.ArgumentParser(
        prog="qts",
        description="A trading runtime: trades an account by rules, all day, on its own.",
        epilog="Start with: qts demo",
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for module in (session_cmd, state_cmd, safety_cmd, events_cmd, config_cmd, docs_cmd):
        module.add_parser(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    parser = build_parser()
    args = parser.parse_args(argv)
    if args.version:
        print(_version())
        return 0
    if not hasattr(args, "func"):
        parser.print_help()
        return 2
    try:
        return int(args.func(args))
    except QtsError as error:
        print(f"qts: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("qts: stopped", file=sys.stderr)
        return STOPPED_BY_USER
    except BrokenPipeError:
        return 0


def _version() -> str:
    from importlib.metadata import version

    return f"qts {version('qts')}"


if __name__ == "__main__":
    sys.exit(main())
