"""``qts docs``: write the reference pages from the code."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

DEFAULT_OUT = Path("docs/reference")
STALE = 1


def add_parser(commands: Any) -> None:
    docs = commands.add_parser(
        "docs",
        help="write the reference pages from the code",
        description="Writes one Markdown page each for commands, settings, events, states, codes and refusals.",
    )
    docs.add_argument("--check", action="store_true", help="write nothing; exit code 1 when a page is out of date")
    docs.add_argument("--out", type=Path, default=DEFAULT_OUT, metavar="DIR", help=f"default {DEFAULT_OUT}")
    docs.set_defaults(func=lambda args: _run(args, commands.choices))


def _run(args: argparse.Namespace, commands: Mapping[str, argparse.ArgumentParser]) -> int:
    from qts.errors import InputError
    from qts.report.reference import reference_pages, stale_pages, write_pages
    from qts.wording import counted

    if args.out.exists() and not args.out.is_dir():
        raise InputError(f"--out {args.out}: that is a file; name a directory for the pages")
    pages = reference_pages(commands)
    if args.check:
        stale = stale_pages(args.out, pages)
        for name in stale:
            print(f"{args.out / name} is out of date; write it with: qts docs --out {args.out}")
        return STALE if stale else 0
    changed = write_pages(args.out, pages)
    for path in changed:
        print(f"written: {path}" if path.exists() else f"removed: {path}")
    print(f"{counted(len(pages), 'page')} in {args.out}, {len(changed)} changed")
    return 0
