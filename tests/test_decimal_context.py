"""`make lint` refuses arithmetic on Decimals that would round as the calling thread's context says."""

from __future__ import annotations

import textwrap
import tomllib
from pathlib import Path

import pytest

pytest.importorskip("mypy", reason="mypy is not installed")
from mypy import api

ROOT = Path(__file__).parents[1]
SAMPLE = textwrap.dedent(
    """
    from decimal import Context, Decimal

    MINE = Context(prec=50)


    def refused(a: Decimal, b: Decimal | None, many: list[Decimal], n: int) -> None:
        a + a
        a - n
        n * a
        a / 2
        a // a
        a % a
        a**2
        divmod(a, a)
        -a
        abs(a)
        round(a, 2)
        a += a
        sum(many)
        a.quantize(a)
        a.normalize()
        if b is not None:
            b - a


    def allowed(a: Decimal, b: Decimal, n: int, x: float) -> bool:
        MINE.add(a, b)
        a.quantize(b, context=MINE)
        max(a, b)
        a.copy_abs()
        -n + n * n - abs(n) + sum([n]) + round(x)
        return a < b
    """
)


def test_lint_loads_the_plugin() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["mypy"]
    assert settings["plugins"] == ["lint/decimal_context.py"]
    assert settings["files"] == ["src/qts"]


def test_every_way_to_round_in_the_ambient_context_is_refused(tmp_path: Path) -> None:
    """Given a module with sixteen sums, when mypy looks at it, then it names the line of each and no other."""
    module = tmp_path / "src" / "qts" / "ledger" / "sample.py"
    module.parent.mkdir(parents=True)
    module.write_text(SAMPLE, "utf-8")
    config = tmp_path / "mypy.ini"
    config.write_text(f"[mypy]\nplugins = {ROOT / 'lint' / 'decimal_context.py'}\n", "utf-8")
    told = api.run(["--config-file", str(config), "--cache-dir", str(tmp_path / "cache"), str(module)])[0]
    lines = {int(line.split(":")[1]) for line in told.splitlines() if "error:" in line}
    wrong = SAMPLE.splitlines()
    first, last = (
        wrong.index(next(line for line in wrong if "def refused" in line)) + 2,
        wrong.index("        b - a") + 1,
    )
    expected = {number for number in range(first, last + 1) if not wrong[number - 1].strip().startswith("if ")}
    assert lines == expected, told
    assert told.count("ambient context") >= len(expected) - 2, told
