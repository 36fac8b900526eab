"""Recorded files as market feeds: raw Binance captures, KRX snapshots, CSV and Parquet."""

from qts.market.files.detect import FORMATS
from qts.market.files.feed import FileFeed
from qts.market.files.feed_opener import open_feed
from qts.market.files.refusals import REASONS, RefusalExample

__all__ = ["FORMATS", "REASONS", "FileFeed", "RefusalExample", "open_feed"]
