"""Figures of performance from equity at the session closes, what came in or went out, and round trips.

Pure functions. A figure that rests on too little is unknown and says why; it is never 0 and never infinite.
"""

from qts.performance.benchmark import Change, HoldingAction, Prices, alpha, beta, buy_and_hold, information_ratio
from qts.performance.contracts import Amount, Close, DailyReturn, Figure, Flow, RoundTrip
from qts.performance.returns import cagr, daily_returns, monthly_returns, total_return, yearly_returns
from qts.performance.risk import Drawdown, calmar, greatest_drawdown, sharpe, sortino, volatility
from qts.performance.round_trips import OpenTrip, RoundTrips, TripAction, TripFill, round_trips
from qts.performance.summary import Performance, Period, Versus, performance
from qts.performance.trips import TripFigures, by_strategy, by_symbol, trip_figures

__all__ = [
    "Amount",
    "Change",
    "Close",
    "DailyReturn",
    "Drawdown",
    "Figure",
    "Flow",
    "HoldingAction",
    "OpenTrip",
    "Performance",
    "Period",
    "Prices",
    "RoundTrip",
    "RoundTrips",
    "TripAction",
    "TripFigures",
    "TripFill",
    "Versus",
    "alpha",
    "beta",
    "buy_and_hold",
    "by_strategy",
    "by_symbol",
    "cagr",
    "calmar",
    "daily_returns",
    "greatest_drawdown",
    "information_ratio",
    "monthly_returns",
    "performance",
    "round_trips",
    "sharpe",
    "sortino",
    "total_return",
    "trip_figures",
    "volatility",
    "yearly_returns",
]
