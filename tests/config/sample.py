"""A configuration made for the tests: one setting of every kind there is."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from qts.config.document import Problem
from qts.config.loader import LoadedConfig, examine
from qts.config.tree import Layout
from qts.errors import ContractError


class Mood(str, Enum):
    CALM = "CALM"
    WILD = "WILD"


class Inner(msgspec.Struct, frozen=True, kw_only=True):
    depth: Annotated[int, Meta(ge=1, le=9, description="levels")] = 3
    label: Annotated[str, Meta(max_length=10, description="for people")] = "x"


class Symbol(msgspec.Struct, frozen=True, kw_only=True):
    market: Annotated[Mood, Meta(description="which market")]
    lot: Annotated[Decimal, Meta(gt=0, le=100, description="shares")] = Decimal(1)

    def __post_init__(self) -> None:
        if self.market is Mood.WILD and self.lot > 50:
            raise ContractError("a WILD symbol has lots up to 50")


class Alpha(msgspec.Struct, frozen=True, kw_only=True):
    share: Annotated[Decimal, Meta(gt=0, le=1, description="share of equity")] = Decimal("0.5")
    count: Annotated[int, Meta(ge=0, le=100, description="orders")] = 10
    ratio: Annotated[float, Meta(ge=0, lt=2, description="ratio")] = 0.25
    huge: Annotated[float, Meta(description="any finite number")] = 1.0
    step: Annotated[int, Meta(ge=0, le=100, multiple_of=5, description="in fives")] = 10
    active: Annotated[bool, Meta(description="whether")] = True
    mood: Annotated[Mood, Meta(description="mood")] = Mood.CALM
    level: Annotated[Literal["LOW", "HIGH"], Meta(description="level")] = "LOW"
    name: Annotated[str, Meta(max_length=20, description="name")] = "alpha"
    code: Annotated[str, Meta(pattern="^[A-Z]{3}$", description="code")] = "KRW"
    limit: Annotated[Decimal, Meta(ge=0, description="won")] | None = None
    hours: Annotated[tuple[Annotated[int, Meta(ge=0, le=23)], ...], Meta(max_length=5, description="hours")] = (
        9,
        15,
    )
    span: Annotated[tuple[Annotated[float, Meta(ge=0, le=1)], Annotated[float, Meta(ge=0, le=1)]], Meta()] = (
        0.1,
        0.2,
    )
    tags: Annotated[frozenset[str], Meta(max_length=4, description="tags")] = frozenset({"a"})
    moods: Annotated[Mapping[Mood, Inner], Meta(description="by mood")] = msgspec.field(
        default_factory=lambda: {Mood.CALM: Inner(), Mood.WILD: Inner(depth=7)}
    )
    symbols: Annotated[Mapping[Annotated[str, Meta(max_length=6)], Symbol], Meta(max_length=3)] = msgspec.field(
        default_factory=dict
    )
    weights: Annotated[Mapping[str, Decimal], Meta(description="weights")] = msgspec.field(default_factory=dict)
    inner: Annotated[Inner, Meta(description="a group")] = Inner()

    def problems(self) -> list[tuple[str, str]]:
        if self.step > self.count * 10:
            return [("step", f"must not be above ten times count ({self.count}), got {self.step}")]
        return []


class Beta(msgspec.Struct, frozen=True, kw_only=True):
    token: Annotated[str, Meta(min_length=4, extra={"secret": True}, description="key")] | None = None
    retries: Annotated[int, Meta(ge=0, le=5, description="times")] = 3


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    alpha: Annotated[Alpha, Meta(description="Everything.")] = Alpha()
    beta: Annotated[Beta, Meta(description="A secret.")] = Beta()


SAMPLE = Layout(
    root=Sample,
    reloadable={
        "alpha": frozenset({"share", "count", "step", "mood", "inner.depth", "moods", "symbols"}),
        "beta": frozenset({"token"}),
    },
)


def given(directory: Path, alpha: str = "", *, beta: str | None = None) -> Path:
    """Write the two files; ``None`` leaves a file out."""
    (directory / "alpha.yaml").write_text(alpha, encoding="utf-8")
    if beta is not None:
        (directory / "beta.yaml").write_text(beta, encoding="utf-8")
    return directory


def loaded(directory: Path, overrides: Mapping[str, str] | None = None, **env: str) -> LoadedConfig:
    """The valid configuration of ``directory``; fails with the problems when there are any."""
    found = examine(directory, overrides or {}, env, SAMPLE)
    assert isinstance(found, LoadedConfig), "\n".join(map(str, found))
    return found


def refused(directory: Path, overrides: Mapping[str, str] | None = None, **env: str) -> list[str]:
    """The problems of ``directory`` as lines, without the directory's own path."""
    found = examine(directory, overrides or {}, env, SAMPLE)
    assert not isinstance(found, LoadedConfig), "nothing was refused"
    assert all(isinstance(problem, Problem) for problem in found)
    return [str(problem).replace(f"{directory}/", "") for problem in found]
