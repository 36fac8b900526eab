"""Files of bars as market feeds: daily and intraday open, high, low, close and volume of one symbol or many."""
