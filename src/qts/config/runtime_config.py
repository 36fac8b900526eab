"""Settings of the session itself, file ``config/runtime.yaml``: account, hours, intervals, freshness, log."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from qts.ledger.contracts import DEFAULT_ACCOUNT

RELOADABLE: Final[frozenset[str]] = frozenset(
    {
        "checkpoint_interval_rows",
        "equity_sample_interval_s",
        "freshness.live_ms",
        "freshness.generated_ms",
        "freshness.snapshot_ms",
        "log_level",
    }
)

LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]


class FreshnessConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Age limits of a feed: above them nothing is entered on it (`stale-feed`)."""

    live_ms: Annotated[int, Meta(ge=10, le=60_000, description="ms, a live feed")] = 100
    generated_ms: Annotated[int, Meta(ge=100, le=600_000, description="ms, a generated feed")] = 5_000
    snapshot_ms: Annotated[
        int, Meta(ge=1_000, le=86_400_000, description="ms, a feed of snapshots, 900000 = 15 minutes")
    ] = 900_000


class RuntimeConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings of a session: capital, currency, hours, intervals, freshness, log, strategies."""

    account: Annotated[
        str,
        Meta(
            pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$",
            description="name of the account, which every row of its book has; not the number of a broker",
        ),
    ] = DEFAULT_ACCOUNT
    equity_start: Annotated[
        Decimal,
        Meta(gt=0, le=1_000_000_000_000_000, description="opening capital, in the currency below"),
    ] = Decimal(100_000_000)
    currency: Annotated[
        str, Meta(pattern="^[A-Z]{3,5}$", description="currency of the account; a feed of another one says so")
    ] = "KRW"
    evaluation_first_hour: Annotated[
        int, Meta(ge=0, le=23, description="hour of the market's day of the first state evaluation")
    ] = 9
    evaluation_last_hour: Annotated[
        int, Meta(ge=0, le=23, description="hour of the market's day of the last state evaluation")
    ] = 15
    checkpoint_interval_rows: Annotated[
        int, Meta(ge=100, le=10_000_000, description="input rows between checkpoints, if nothing makes one before")
    ] = 20_000
    equity_sample_interval_s: Annotated[
        int, Meta(ge=1, le=86_400, description="seconds of market time between samples of the equity curve")
    ] = 300
    audits: Annotated[
        Literal["day", "end"],
        Meta(
            description="when a replay audits its books: at each day's close, or once at its end; both audit them "
            "as well when safety rises to FAIL or LOCKDOWN and before it is released; in real time always each day"
        ),
    ] = "day"
    freshness: Annotated[FreshnessConfig, Meta(description="age of the feed above which nothing is entered")] = (
        FreshnessConfig()
    )
    log_level: Annotated[LogLevel, Meta(description="lowest level that is logged")] = "INFO"
    log_file_mb: Annotated[
        int, Meta(ge=1, le=10_000, description="MB after which session.log.jsonl is put aside and begun again")
    ] = 64
    log_files_kept: Annotated[int, Meta(ge=0, le=1_000, description="older files of the session log that stay")] = 4
    gain_color: Annotated[
        Literal["auto", "green", "red"],
        Meta(
            description="colour of a gain in the report: green, with losses red; red, with losses blue, as Korean "
            "brokers show it; auto: red for a reader of Korean, green for a reader of English",
            extra={"display": True},
        ),
    ] = "auto"
    adjust: Annotated[
        Literal["none", "split", "total"],
        Meta(
            description="prices that strategies see across splits and dividends of the input: as traded; so that a "
            "split is no jump; or as if dividends were invested as well; orders always fill at prices as traded"
        ),
    ] = "none"
    dividend_tax_rate: (
        Annotated[
            Decimal,
            Meta(
                ge=0,
                lt=1,
                description="share of a dividend kept back as tax; null: as the market has it",
            ),
        ]
        | None
    ) = None
    risk_free: Annotated[
        float,
        Meta(
            ge=-0.5,
            le=1,
            description="rate a year of an investment without risk, 0.03 = 3 %, which performance is compared with",
            extra={"display": True},
        ),
    ] = 0.0
    strategies: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=400, pattern=r"^.+\.py:[A-Za-z_]\w*$")], ...],
        Meta(max_length=100, description="FILE.py:Class of each strategy; empty: the command's own choice"),
    ] = ()
    intents_per_call: Annotated[
        int,
        Meta(
            ge=1,
            le=100_000,
            description="intents a strategy may give in one call; one that gives more is halted and none of them "
            "counts",
        ),
    ] = 1_000
    strategy_lane: Annotated[
        Literal["loop", "process"],
        Meta(
            description="where strategies run in real time: on the event loop, or each in a worker process, where "
            "what it computes delays no fill; on the virtual clock always on the loop"
        ),
    ] = "loop"

    @property
    def evaluation_hours(self) -> tuple[int, ...]:
        """Return the hours of the market's day at which the operating state is evaluated."""
        return tuple(range(self.evaluation_first_hour, self.evaluation_last_hour + 1))

    def problems(self) -> list[tuple[str, str]]:
        """Return combinations that contradict each other, as (dotted field, message)."""
        found = []
        if self.evaluation_first_hour > self.evaluation_last_hour:
            message = f"must not be after evaluation_last_hour ({self.evaluation_last_hour})"
            found.append(("evaluation_first_hour", f"{message}, got {self.evaluation_first_hour}"))
        if len(set(self.strategies)) != len(self.strategies):
            found.append(("strategies", "names a strategy twice; each would trade the same signal again"))
        return found
