"""``--config`` and ``--set``: the settings of a command."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Add the two options to ``parser``; read the second with :func:`overrides_of`."""
    parser.add_argument("--config", type=directory, metavar="DIR", help="directory of configuration files")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override a setting, e.g. risk.symbol_weight_limit=0.3 (repeatable)",
    )


def directory(text: str) -> Path:
    """Return the path; refuse an empty text: a shell variable that was never set is not the present directory."""
    if not text:
        raise argparse.ArgumentTypeError("is empty; name a directory (the present one is .)")
    return Path(text)


def overrides_of(pairs: list[str]) -> dict[str, str]:
    """Return ``KEY=VALUE`` texts by key, the last of a key. Raises InputError for a text of another form."""
    from qts.errors import InputError

    overrides: dict[str, str] = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if not (sign and key.strip()):
            raise InputError(f"--set {pair!r}: write it as KEY=VALUE, e.g. --set risk.symbol_weight_limit=0.3")
        overrides[key.strip()] = value.strip()
    return overrides
