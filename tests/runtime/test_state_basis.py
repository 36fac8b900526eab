"""What people are told the operating state was judged on."""

from __future__ import annotations

from datetime import date

from qts.report.state_basis import basis_lines
from qts.runtime.metrics.state_basis import StateBasis, waiting_for_prices
from qts.runtime.metrics.volatility import VolatilityReading
from qts.state.contracts import UNKNOWN_METRICS, TransitionMetrics

MONDAY, TUESDAY = date(2026, 1, 19), date(2026, 1, 20)
NONE, MEASURED = VolatilityReading(17.5, "none"), VolatilityReading(14.0, "realised_20d")


def test_a_day_counts_as_without_entry_until_one_evaluation_of_it_allows_one() -> None:
    basis = StateBasis(judged_by="account")

    basis.on_evaluation(MONDAY, UNKNOWN_METRICS, NONE, may_enter=False)
    basis.on_evaluation(MONDAY, UNKNOWN_METRICS, NONE, may_enter=True)
    basis.on_evaluation(MONDAY, UNKNOWN_METRICS, NONE, may_enter=False)
    basis.on_evaluation(TUESDAY, UNKNOWN_METRICS, NONE, may_enter=False)

    assert (basis.values()["trading_days"], basis.values()["days_without_entry"]) == (2, 1)


def test_the_stand_in_for_the_volatility_never_counts_as_known() -> None:
    basis = StateBasis(judged_by="account")
    calm = TransitionMetrics(vix=17.5, cagr=None)

    basis.on_evaluation(MONDAY, calm, NONE, may_enter=True)
    assert basis.values()["known_since"]["vix"] is None

    basis.on_evaluation(TUESDAY, TransitionMetrics(vix=14.0, cagr=None), MEASURED, may_enter=True)

    seen = basis.values()
    assert seen["known_since"]["vix"] == "2026-01-20"
    assert seen["known_since"]["drawdown_pct"] == "2026-01-19"
    assert seen["known_since"]["cagr"] is None
    assert seen["volatility"] == {
        "source": "realised_20d",
        "value": 14.0,
        "measured": True,
        "measured_since": "2026-01-20",
    }


def test_it_goes_on_after_a_restart() -> None:
    basis, other = StateBasis(judged_by="account"), StateBasis(judged_by="account")
    basis.on_evaluation(MONDAY, TransitionMetrics(), MEASURED, may_enter=False)

    other.import_state(basis.export_state())
    for each in (basis, other):
        each.on_evaluation(MONDAY, TransitionMetrics(), NONE, may_enter=True)

    assert other.values() == basis.values()


def test_an_account_that_holds_is_told_what_defensive_waits_for() -> None:
    held = {"005930": 10}
    deep = TransitionMetrics(drawdown_pct=0.12)

    assert "0.12 must fall below 0.05" in waiting_for_prices(deep, held, 0.05)
    assert "005930" in waiting_for_prices(UNKNOWN_METRICS, held, 0.05)
    assert waiting_for_prices(deep, {}, 0.05) == ""
    assert waiting_for_prices(TransitionMetrics(drawdown_pct=0.04), held, 0.05) == ""


def test_the_sentences_name_source_days_and_what_is_missing() -> None:
    basis = StateBasis(judged_by="account")
    basis.on_evaluation(MONDAY, TransitionMetrics(vix=17.5, cagr=None), NONE, may_enter=False)

    english = [line for line, _ in basis_lines(basis.values() | {"enabled": True, "waits": ""})]

    assert english[0] == "no entry was possible on 1 of 1 trading days"
    assert "not measured; 17.5 stands in" in english[1]
    assert "drawdown_pct" in english[2]
    assert english[2].endswith("since 2026-01-19")
    assert "vix (needs a volatility source)" in english[3]
    assert "cagr (needs 252 daily closes)" in english[3]


def test_a_state_that_follows_an_index_says_so_first_in_both_languages() -> None:
    first, *_ = basis_lines(StateBasis(judged_by="index").values() | {"enabled": True, "waits": ""})

    assert first[0].startswith("the operating state follows an index, not this account")
    assert first[1].startswith("운용 상태는 이 계좌가 아니라 지수를 따릅니다")


def test_a_state_that_is_switched_off_says_so_and_nothing_else() -> None:
    lines = basis_lines(StateBasis(judged_by="account").values() | {"enabled": False, "waits": ""})

    assert len(lines) == 1
    assert "state.enabled: false" in lines[0][0]
