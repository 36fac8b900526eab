"""The daily backtest: reading the series, and its convention, against an independent little model."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from qts.errors import ContractError, DataError
from qts.state.backtest import (
    SeriesRow,
    backtest,
    daily_metrics,
    days_in_state,
    read_series,
    state_by_day,
    transition_rows,
)
from qts.state.config import StateConfig
from qts.state.contracts import OperatingState

A, B, D = OperatingState.AGGRESSIVE, OperatingState.BALANCED, OperatingState.DEFENSIVE
MONDAY = date(2018, 1, 1)


def written(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "series.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def days(*levels: tuple[float, float], start: date = MONDAY) -> list[SeriesRow]:
    return [SeriesRow(start + timedelta(days=number), close, vix) for number, (close, vix) in enumerate(levels)]


class TestReading:
    def test_any_case_any_order_extra_columns_and_a_byte_order_mark(self, tmp_path: Path) -> None:
        text = "\ufeffVIX,Name, Date ,CLOSE\r\n12.5,x,2018-01-02,100\r\n13,y,2018-01-03,101.5\r\n"
        rows, skipped = read_series(written(tmp_path, text))
        assert rows == [SeriesRow(date(2018, 1, 2), 100.0, 12.5), SeriesRow(date(2018, 1, 3), 101.5, 13.0)]
        assert skipped == {}

    @pytest.mark.parametrize(
        "text", ["2018-01-02", "2018/01/02", "20180102", "2018-01-02T00:00:00", "2018-01-02 16:00"]
    )
    def test_dates_that_can_be_read_in_one_way_only(self, tmp_path: Path, text: str) -> None:
        rows, _ = read_series(written(tmp_path, f"date,close,vix\n{text},100,12\n"))
        assert rows[0].day == date(2018, 1, 2)

    @pytest.mark.parametrize(
        ("line", "reason"),
        [
            ("2018-01-03,,12", "close_missing"),
            ("2018-01-03,100,", "vix_missing"),
            ("2018-01-03,100,.", "vix_missing"),
            ("2018-01-03,100,NaN", "vix_missing"),
            ("2018-01-03,100", "vix_missing"),
            ("2018-01-03,null,12", "close_missing"),
            ("2018-01-03,100,abc", "vix_not_a_number"),
            ("2018-01-03,1 00,12", "close_not_a_number"),
            ('2018-01-03,"12,5",12', "close_not_a_number"),
            ("2018-01-03,inf,12", "close_not_finite"),
            ("2018-01-03,1e999,12", "close_not_finite"),
            ("2018-01-03,0,12", "close_not_positive"),
            ("2018-01-03,-5,12", "close_not_positive"),
            ("2018-01-03,100,0", "vix_not_positive"),
            ("2018-01-03,100,-12", "vix_not_positive"),
            ("01/03/2018,100,12", "date_unreadable"),
            ("2018-02-30,100,12", "date_unreadable"),
            (",100,12", "date_unreadable"),
            ("2018-01-02,100,12", "date_repeated"),
            ("2018-01-01,100,12", "date_out_of_order"),
        ],
    )
    def test_a_row_that_cannot_be_used_is_skipped_and_counted_by_reason(
        self, tmp_path: Path, line: str, reason: str
    ) -> None:
        good = "date,close,vix\n2017-12-29,99,11\n2018-01-02,100,12\n"
        rows, skipped = read_series(written(tmp_path, f"{good}{line}\n\n2018-01-04,101,13\n"))
        assert [row.close for row in rows] == [99, 100, 101]
        assert skipped == {reason: 1}

    def test_thousands_are_read(self, tmp_path: Path) -> None:
        rows, _ = read_series(written(tmp_path, 'date,close,vix\n2018-01-02,"2,695.81",9.77\n'))
        assert rows[0].close == 2695.81

    def test_a_file_that_is_newest_first_is_turned_round(self, tmp_path: Path) -> None:
        rows, skipped = read_series(written(tmp_path, "date,close,vix\n2018-01-03,101,13\n2018-01-02,100,12\n"))
        assert [row.close for row in rows] == [100, 101]
        assert skipped == {}

    @pytest.mark.parametrize(
        ("content", "told"),
        [
            (b"", "line 1: the file is empty"),
            (b"date,close\n2018-01-02,1\n", "line 1: the column 'vix' is missing"),
            (b"date:close:vix\n2018-01-02:1:2\n", "found: 'date:close:vix'"),
            (b"date,close,vix,Close\n2018-01-02,1,2,3\n", "the column 'close' appears more than once"),
            (b"\n2018-01-02,1,2\n", "the column 'date' is missing"),
            (b"date,close,vix\n", "no usable row .it holds only a header"),
            (b"date,close,vix\n2018-01-02,.,12\n2018-01-03,1,.\n", "close_missing 1, vix_missing 1"),
            (b"\x1f\x8b\x08\x00\xff\xfe", "not utf-8 .byte 1.; give a CSV"),
            (b'{"date": "2018-01-02"}\n', "the column 'date' is missing"),
            (b'date,close,vix\n2018-01-02,"1,2\n', "line 2: not a CSV line"),
        ],
    )
    def test_a_file_that_cannot_be_used_at_all_names_place_and_need(
        self, tmp_path: Path, content: bytes, told: str
    ) -> None:
        path = written(tmp_path, content)
        with pytest.raises(DataError, match=told) as error:
            read_series(path)
        assert str(path) in str(error.value)

    def test_a_missing_file_and_a_directory(self, tmp_path: Path) -> None:
        for path in (tmp_path / "nowhere.csv", tmp_path):
            with pytest.raises(DataError, match="cannot be read"):
                read_series(path)


class TestMetrics:
    def test_drawdown_loss_and_runs_worked_by_hand(self) -> None:
        """100, 110 (+10 %), 99 (−10 %), 99 (flat), 97.02 (−2 %), 100."""
        found = list(daily_metrics(days((100, 20), (110, 21), (99, 22), (99, 23), (97.02, 24), (100, 25))))
        assert [metrics.vix for metrics in found] == [20, 21, 22, 23, 24, 25]
        assert [round(metrics.drawdown_pct or 0, 6) for metrics in found] == [
            0,
            0,
            0.1,
            0.1,
            0.118,
            0.090909,
        ]
        assert found[0].daily_loss_pct is None
        assert [round(metrics.daily_loss_pct or 0, 6) for metrics in found[1:]] == [0, 0.1, 0, 0.02, 0]
        assert [metrics.consecutive_profitable_days for metrics in found] == [0, 1, 0, 0, 0, 1]
        assert [metrics.consecutive_scalp_losses for metrics in found] == [0, 0, 1, 0, 1, 0]
        assert {metrics.market_circuit_breaker for metrics in found} == {False}
        assert {metrics.target_cagr for metrics in found} == {0.10}

    def test_growth_and_win_rate_are_unknown_until_there_is_enough(self) -> None:
        """One won more each day from 100: after 126 days 226, after 252 days 352."""
        found = list(daily_metrics(days(*((100.0 + number, 20.0) for number in range(254)))))
        assert found[125].capital_growth_pct is None
        assert found[126].capital_growth_pct == pytest.approx(1.26)
        assert found[251].cagr is None
        assert found[252].cagr == pytest.approx(2.52)
        assert found[253].cagr == pytest.approx(353 / 101 - 1)
        assert found[29].win_rate_30d is None
        assert found[30].win_rate_30d == 1.0

    def test_the_win_rate_counts_the_last_thirty_moves(self) -> None:
        """20 up moves, 10 down, 5 flat: of the last 30, 15 are up."""
        closes, level = [100.0], 100.0
        for step in [1.0] * 20 + [-1.0] * 10 + [0.0] * 5:
            level += step
            closes.append(level)
        assert list(daily_metrics(days(*((c, 20.0) for c in closes))))[-1].win_rate_30d == 0.5


class TestConvention:
    def test_a_storm_moves_balanced_to_defensive_at_eleven_of_its_day(self) -> None:
        moves = backtest(days((100, 15), (100, 30), (100, 30.01), (100, 40)))
        assert transition_rows(moves) == [
            {
                "date": "2018-01-03",
                "time": "11:00",
                "from": "BALANCED",
                "to": "DEFENSIVE",
                "reason": "BalancedToDefensive: vix 30.01 > 30",
            }
        ]

    def test_it_returns_when_all_of_rule_three_holds(self) -> None:
        """DEFENSIVE on day 1 at 11:00; calm and three up days by day 4; five days held from 11:00 of day 6 on."""
        moves = backtest(days((100, 35), (99, 19), (99.5, 19), (99.6, 19), (99.7, 19), (99.8, 19), (99.9, 19)))
        assert [(row["date"], row["time"], row["to"]) for row in transition_rows(moves)] == [
            ("2018-01-01", "11:00", "DEFENSIVE"),
            ("2018-01-06", "13:00", "BALANCED"),
        ]

    def test_no_rows_no_transitions_and_days_must_ascend(self) -> None:
        assert backtest([]) == []
        with pytest.raises(ContractError, match="the days of a backtest ascend"):
            backtest([*days((1, 10), (1, 10)), *days((1, 10))])

    def test_the_configuration_counts(self) -> None:
        config = msgspec.convert({"balanced_to_defensive": {"vix": 16}, "confirmation_hours": 0}, StateConfig)
        assert transition_rows(backtest(days((100, 17)), config))[0]["time"] == "10:00"

    def test_states_by_day_and_their_shares(self) -> None:
        rows = days((100, 15), (100, 35), (100, 35))
        moves = backtest(rows)
        assert state_by_day(rows, moves) == [B, D, D]
        assert days_in_state(rows, moves) == {A: 0, B: 1, D: 2}

    @pytest.mark.parametrize("seed", range(12))
    def test_it_agrees_with_an_independent_model(self, seed: int) -> None:
        """Random walks with storms, 900 days each, some of them missing."""
        rows = walk(random.Random(seed), 900)
        found = [(r["date"], r["time"], r["from"], r["to"]) for r in transition_rows(backtest(rows))]
        assert found == model(rows)

    def test_the_walks_visit_everything(self) -> None:
        """So the comparison above compares something: all four kinds of moves appear."""
        kinds = {move[2:] for seed in range(12) for move in model(walk(random.Random(seed), 900))}
        assert kinds == {(A.value, B.value), (B.value, D.value), (D.value, B.value), (B.value, A.value)}


def walk(rng: random.Random, count: int) -> list[SeriesRow]:
    rows, level, vix, day = [], 100.0, 14.0, MONDAY
    for _ in range(count):
        day += timedelta(days=rng.choice((1, 1, 1, 1, 3)))
        vix = max(9.0, vix + 0.15 * (13.0 - vix) + rng.gauss(0, 1.2) + (22.0 if rng.random() < 0.008 else 0.0))
        level *= 1 + rng.gauss(0.0022, 0.004 + max(0.0, vix - 18) / 1500)
        rows.append(SeriesRow(day, round(level, 4), round(vix, 2)))
    return rows


def model(rows: Sequence[SeriesRow]) -> list[tuple[str, str, str, str]]:
    """The convention of the backtest again, written flat and sharing nothing with the engine."""
    state, entered, last, window = "BALANCED", None, None, None
    moves = []
    closes = [row.close for row in rows]
    hour_ = timedelta(hours=1)
    for i, row in enumerate(rows):
        drawdown = 1 - closes[i] / max(closes[: i + 1])
        change = closes[i] / closes[i - 1] - 1 if i else 0.0
        downs = ups = 0
        while i - downs > 0 and closes[i - downs] < closes[i - downs - 1]:
            downs += 1
        while i - ups > 0 and closes[i - ups] > closes[i - ups - 1]:
            ups += 1
        cagr = closes[i] / closes[i - 252] - 1 if i >= 252 else None
        growth = closes[i] / closes[i - 126] - 1 if i >= 126 else None
        wins = sum(closes[k] > closes[k - 1] for k in range(i - 29, i + 1)) / 30 if i >= 30 else None
        for hour in range(9, 17):
            now = datetime(row.day.year, row.day.month, row.day.day, hour, tzinfo=UTC)
            entered = entered or now
            held = now - entered
            target = None
            if state == "AGGRESSIVE" and (drawdown > 0.05 or row.vix > 25 or downs > 5 or -change > 0.02):
                target = "BALANCED"
            elif state == "BALANCED" and (drawdown > 0.10 or row.vix > 30):
                target = "DEFENSIVE"
            elif (
                state == "DEFENSIVE" and drawdown < 0.05 and row.vix < 20 and ups >= 3 and held >= timedelta(days=5)
            ):
                target = "BALANCED"
            elif state == "BALANCED" and row.vix < 15 and held >= timedelta(days=10):
                enough = cagr is not None and growth is not None and wins is not None
                target = "AGGRESSIVE" if enough and cagr > 0.10 and growth > 0.10 and wins > 0.60 else None
            if target is None:
                window = None
                continue
            window = (
                (target, now, 1) if window is None or window[0] != target else (target, window[1], window[2] + 1)
            )
            if window[2] < 2 or now - window[1] < 2 * hour_:
                continue
            minimum = timedelta(days={"AGGRESSIVE": 7, "BALANCED": 5, "DEFENSIVE": 3}[state])
            if target != "DEFENSIVE" and (held < minimum or (last and now - last < 24 * hour_)):
                continue
            moves.append((row.day.isoformat(), f"{hour:02}:00", state, target))
            state, entered, last, window = target, now, now, None
    return moves
