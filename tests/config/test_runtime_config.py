# ruff: noqa: E501 - a table of examples reads best with one example a line
"""The settings of the session itself."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from qts.config.loader import LoadedConfig, examine
from qts.config.runtime_config import RuntimeConfig


def problems(directory: Path, text: str) -> list[str]:
    (directory / "runtime.yaml").write_text(text, encoding="utf-8")
    found = examine(directory, {}, {})
    if isinstance(found, LoadedConfig):
        return []
    return [str(problem).replace(f"{directory}/", "") for problem in found]


def test_the_defaults_are_exactly_these() -> None:
    config = RuntimeConfig()

    assert config.equity_start == Decimal(100_000_000)
    assert config.currency == "KRW"
    assert config.evaluation_hours == (9, 10, 11, 12, 13, 14, 15)
    freshness = config.freshness
    assert (freshness.live_ms, freshness.generated_ms, freshness.snapshot_ms) == (100, 5_000, 900_000)
    assert config.strategies == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("evaluation_first_hour: 15\nevaluation_last_hour: 15\n", []),
        ("evaluation_first_hour: 16\n",
         ["runtime.yaml:1: runtime.evaluation_first_hour: must not be after evaluation_last_hour (15), got 16"]),
        ("strategies: [a.py:A, 'dir x/b.py:B']\n", []),
        ("strategies: [a.py:A, a.py:A]\n",
         ["runtime.yaml:1: runtime.strategies: names a strategy twice; each would trade the same signal again"]),
        ("strategies: [a.py]\n",
         [r"runtime.yaml:1: runtime.strategies[0]: 'a.py' does not match; "
          r"allowed: text of 1 to 400 characters matching ^.+\.py:[A-Za-z_]\w*$"]),
        ("log_level: TRACE\n",
         ["runtime.yaml:1: runtime.log_level: 'TRACE' is none of the values; allowed: DEBUG, INFO, WARNING or ERROR"]),
    ],
)  # fmt: skip
def test_what_fits_together(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert problems(tmp_path, text) == expected
