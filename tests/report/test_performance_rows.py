"""The rows of figures: each in both languages, and only what can be asked of a run."""

from __future__ import annotations

import re
from decimal import Decimal

from qts.performance import Close, Period, performance
from qts.report.performance_rows import decided_by, performance_rows
from tests.performance.series import closes, day, trip

D = Decimal


def test_the_result_for_the_amount_at_stake_is_shown_when_there_was_a_stop() -> None:
    # Given two accounts of one trade that won 10: without a stop, and with one that put 5 at stake
    without = [trip(10)]
    with_stop = [trip(10, risk=5)]
    for trips, shown in ((without, []), (with_stop, ["2.00"])):
        period = Period(start=D(100), closes=closes(110), trips=trips, bought=D(100), sold=D(110), costs=D(0))
        rows = performance_rows(performance(period, days_a_year=252), "KRW")
        # Then only the second has its R: 10 for 5
        assert [row.ours.en for row in rows if row.label.en == "expectancy, R"] == shown


def test_every_label_has_korean_and_every_reason_is_told_in_both_languages() -> None:
    period = Period(start=D(100), closes=closes(110), trips=(), bought=D(0), sold=D(0), costs=D(0))
    for row in performance_rows(performance(period, days_a_year=252), "KRW"):
        assert re.search("[가-힣]", row.label.ko)
        if row.ours.en.startswith("not enough"):
            assert re.search("[가-힣]", row.ours.ko)


def test_the_share_of_equity_in_positions_is_not_called_what_their_amount_is() -> None:
    # Given an account of 100 with 50 in positions at its only close
    half = [Close(day(0), D(100), held=D(50))]
    period = Period(start=D(100), closes=half, trips=(), bought=D(50), sold=D(0), costs=D(0))
    rows = {row.label.en: row.ours.en for row in performance_rows(performance(period, days_a_year=252), "KRW")}
    # Then "exposure" alone, the value of all holdings, is no label of a share
    assert rows["average exposure, of equity"] == "50.00%"
    assert "exposure" not in rows


def test_refusals_for_lack_of_cash_alone_are_no_work_of_rules() -> None:
    period = Period(start=D(100), closes=closes(100), trips=(), bought=D(0), sold=D(0), costs=D(0))
    found = performance(period, days_a_year=252)
    for refusals, subject in (
        ({"INSUFFICIENT_CAPITAL": 65}, "Lack of cash decided too: 65 intents"),
        ({"INSUFFICIENT_CAPITAL": 65, "DAILY_TRADE_LIMIT": 1}, "Rules decided too: 66 intents"),
    ):
        assert decided_by(found, refusals, 0)[-1].en.startswith(subject)
        assert re.search("[가-힣]", decided_by(found, refusals, 0)[-1].ko)


def test_without_a_round_trip_only_their_number_is_told_and_no_order_is_said() -> None:
    # Given an account that sent nothing
    period = Period(start=D(100), closes=closes(100), trips=(), bought=D(0), sold=D(0), costs=D(0))
    found = performance(period, days_a_year=252)
    # Then what only round trips can tell is left out
    labels = [row.label.en for row in performance_rows(found, "KRW")]
    assert labels[-1] == "round trips"
    assert "win rate" not in labels
    # and the cause is told; with an order it is not
    (said,) = decided_by(found, {}, 0)
    assert said.en.startswith("No order was sent, and no intent was refused. The usual causes: a yield is missing")
    assert "yield" in said.ko
    assert decided_by(found, {"WARMING": 3}, 0)[0].en == "No order was sent."
    assert [said.en for said in decided_by(found, {}, 0, has_failed=True)] == ["No order was sent."]
    assert decided_by(found, {}, 1)[:1] != decided_by(found, {}, 0)
