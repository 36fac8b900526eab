"""QueueMetrics: what the dispatcher counts, as Prometheus reads it over HTTP."""

from __future__ import annotations

import sys
from urllib.request import urlopen

import pytest
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.parser import text_string_to_metric_families

from qts.errors import MissingExtraError
from qts.event.contracts import DegradationLevel, EventType
from qts.event.dispatcher import EventDispatcher
from qts.event.prometheus import QueueMetrics
from qts.histogram import Histogram
from tests.event.support import P0, P1, P3, event_of, fill, inline_dispatcher

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture
def dispatcher() -> EventDispatcher:
    """Three prices handled, one fill waiting, one log line refused."""
    made = inline_dispatcher()
    made.register_handler(P1, lambda event: None)
    for n in range(3):
        made.dispatch_nowait(event_of(P1, n=n))
    made.run_inline()
    made.publish(EventType.FILL_CONFIRMED, fill())
    made.set_degradation_level(DegradationLevel.P3_PAUSED)
    made.dispatch_nowait(event_of(P3))
    return made


@pytest.fixture
def scraped(dispatcher: EventDispatcher) -> Samples:
    registry = CollectorRegistry()
    registry.register(QueueMetrics(dispatcher))
    server, thread = start_http_server(0, addr="127.0.0.1", registry=registry)
    try:
        with urlopen(f"http://127.0.0.1:{server.server_port}/metrics") as answer:
            text = answer.read().decode()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, frozenset(labels.items())]


def test_events_are_counted_by_priority_and_outcome(scraped: Samples) -> None:
    assert value(scraped, "qts_events_total", priority="P1", outcome="accepted") == 3
    assert value(scraped, "qts_events_total", priority="P1", outcome="handled") == 3
    assert value(scraped, "qts_events_total", priority="P0", outcome="accepted") == 1
    assert value(scraped, "qts_events_total", priority="P0", outcome="handled") == 0
    assert value(scraped, "qts_events_total", priority="P3", outcome="rejected") == 1


def test_queues_show_depth_and_capacity(scraped: Samples) -> None:
    assert value(scraped, "qts_queue_depth", priority="P0") == 1
    assert value(scraped, "qts_queue_capacity", priority="P0") == 100
    assert value(scraped, "qts_events_unfinished", priority="P0") == 1
    assert value(scraped, "qts_queue_depth", priority="P1") == 0


def test_both_latencies_are_histograms_over_every_handled_event(scraped: Samples) -> None:
    for span in ("start", "end"):
        where = {"priority": "P1", "span": span}
        assert value(scraped, "qts_event_latency_seconds_count", **where) == 3
        assert value(scraped, "qts_event_latency_seconds_bucket", **where, le="+Inf") == 3
        assert value(scraped, "qts_event_latency_seconds_sum", **where) > 0


def test_the_degradation_level_in_force_is_one_and_the_others_zero(scraped: Samples) -> None:
    assert value(scraped, "qts_degradation_level", level="P3_PAUSED") == 1
    assert value(scraped, "qts_degradation_level", level="NORMAL") == 0


def test_a_handler_that_takes_too_long_is_named(dispatcher: EventDispatcher) -> None:
    dispatcher.reports.overrun("slow", event_of(P0), 3_000_000)
    families = {family.name: family for family in QueueMetrics(dispatcher).collect()}
    times, longest = (
        {sample.labels["handler"]: sample.value for sample in families[name].samples}["slow"]
        for name in ("qts_handler_overstays", "qts_handler_longest_overstay_seconds")
    )
    assert (times, longest) == (1, pytest.approx(0.003))


def test_buckets_of_a_histogram_count_what_is_at_or_below_their_bound() -> None:
    histogram = Histogram()
    for us in (1, 9, 11, 700, 5_000_000):
        histogram.record(us * 1_000)
    # By hand: 1 and 9 µs below 10 µs, 11 µs below 100 µs, 700 µs below 1 ms, 5 s beyond all.
    assert histogram.up_to((10_000, 100_000, 1_000_000)) == [2, 3, 4]
    assert histogram.sum_ns == pytest.approx(5_000_721_000, rel=0.016)


def test_without_the_extra_the_error_names_it(dispatcher: EventDispatcher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(MissingExtraError, match=r"of qts-runtime: .*'\.\[metrics\]'"):
        QueueMetrics(dispatcher)
