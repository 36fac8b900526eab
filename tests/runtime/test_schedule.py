"""The day's scheduled tasks on the market's own clock."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from qts.clock import from_ns, to_ns
from qts.market.generic import AlwaysOpen
from qts.market.krx import KrxCalendar
from qts.runtime.session.schedule import Schedule, ScheduledTask

KST = ZoneInfo("Asia/Seoul")
HOURS = tuple(range(9, 16))


def told(schedule: Schedule, count: int) -> list[str]:
    rows = []
    for _ in range(count):
        at_ns, kind = schedule.pop()
        rows.append(f"{from_ns(at_ns).astimezone(KST):%m-%d %H:%M} {kind.name}")
    return rows


def test_splits_and_dividends_are_applied_right_after_midnight_of_the_first_trading_day_from_the_ex_date() -> None:
    # 24 January 2026 is a Saturday
    days = [date(2026, 1, 22), date(2026, 1, 24), date(2026, 1, 26)]
    schedule = Schedule(KrxCalendar(), (9,), datetime(2026, 1, 22, tzinfo=KST), days)

    assert told(schedule, 12) == [
        "01-22 00:00 DAY_START",
        "01-22 00:00 CORPORATE_ACTIONS",
        "01-22 09:00 EVALUATE",
        "01-22 15:31 SESSION_END",
        "01-22 15:32 DAY_CLOSE",
        "01-23 00:00 DAY_START",
        "01-23 09:00 EVALUATE",
        "01-23 15:31 SESSION_END",
        "01-23 15:32 DAY_CLOSE",
        "01-26 00:00 DAY_START",
        "01-26 00:00 CORPORATE_ACTIONS",
        "01-26 09:00 EVALUATE",
    ]


def test_a_bar_that_ends_at_midnight_comes_before_the_actions_of_the_day_that_begins() -> None:
    schedule = Schedule(AlwaysOpen(), HOURS, datetime(2026, 1, 22, tzinfo=UTC), [date(2026, 1, 22)])
    midnight, _ = schedule.pop()
    assert schedule.pop()[1] is ScheduledTask.EVALUATE
    assert schedule.pop() == (midnight + 1, ScheduledTask.CORPORATE_ACTIONS)


def test_a_schedule_is_restored_at_its_actions() -> None:
    start, days = datetime(2026, 1, 22, tzinfo=KST), [date(2026, 1, 24)]
    schedule = Schedule(KrxCalendar(), (9,), start, days)
    while schedule.next_kind is not ScheduledTask.CORPORATE_ACTIONS:
        schedule.pop()
    restored = Schedule(KrxCalendar(), (9,), start, days)
    restored.import_state(schedule.export_state())
    assert told(restored, 3) == told(schedule, 3)


def test_a_trading_day_begins_at_midnight_is_judged_hourly_and_closed_after_the_close() -> None:
    schedule = Schedule(KrxCalendar(), HOURS, datetime(2026, 1, 22, tzinfo=KST))

    assert told(schedule, 10) == [
        "01-22 00:00 DAY_START",
        "01-22 09:00 EVALUATE",
        "01-22 10:00 EVALUATE",
        "01-22 11:00 EVALUATE",
        "01-22 12:00 EVALUATE",
        "01-22 13:00 EVALUATE",
        "01-22 14:00 EVALUATE",
        "01-22 15:00 EVALUATE",
        "01-22 15:31 SESSION_END",
        "01-22 15:32 DAY_CLOSE",
    ]


def test_the_weekend_is_skipped() -> None:
    schedule = Schedule(KrxCalendar(), (9,), datetime(2026, 1, 23, tzinfo=KST))  # a Friday

    assert told(schedule, 5) == [
        "01-23 00:00 DAY_START",
        "01-23 09:00 EVALUATE",
        "01-23 15:31 SESSION_END",
        "01-23 15:32 DAY_CLOSE",
        "01-26 00:00 DAY_START",
    ]


def test_a_market_that_never_closes_is_judged_every_hour_of_every_day() -> None:
    schedule = Schedule(AlwaysOpen(), HOURS, datetime(2024, 8, 10, tzinfo=UTC))  # a Saturday

    day = [schedule.pop() for _ in range(26)]

    assert day[0][1] is ScheduledTask.DAY_START
    assert [kind for _, kind in day[1:25]] == [ScheduledTask.EVALUATE] * 24
    assert day[25] == (day[0][0] + (24 * 3600 - 60) * 1_000_000_000, ScheduledTask.DAY_CLOSE)
    assert from_ns(schedule.next_ns) == datetime(2024, 8, 11, tzinfo=UTC)


def test_what_falls_together_keeps_its_order() -> None:
    """At midnight the day begins before it is judged."""
    schedule = Schedule(AlwaysOpen(), HOURS, datetime(2024, 8, 10, tzinfo=UTC))

    assert [schedule.pop()[1], schedule.pop()[1]] == [ScheduledTask.DAY_START, ScheduledTask.EVALUATE]


def test_times_never_go_back() -> None:
    schedule = Schedule(KrxCalendar(), HOURS, datetime(2026, 1, 22, tzinfo=KST))

    moments = [schedule.pop()[0] for _ in range(200)]

    assert moments == sorted(moments)


def test_a_stored_position_continues_where_it_was() -> None:
    start = datetime(2026, 1, 22, tzinfo=KST)
    for kept in range(25):
        whole, stopped = Schedule(KrxCalendar(), HOURS, start), Schedule(KrxCalendar(), HOURS, start)
        for _ in range(kept):
            whole.pop()
            stopped.pop()
        resumed = Schedule(KrxCalendar(), HOURS, start + timedelta(days=40))

        resumed.import_state(stopped.export_state())

        assert [resumed.pop() for _ in range(15)] == [whole.pop() for _ in range(15)], kept


class OneDay(KrxCalendar):
    """A calendar that knows a single session, and none after it."""

    def is_trading_day(self, day: date) -> bool:
        return day == date(2018, 2, 8)


def test_a_calendar_without_further_sessions_has_no_further_scheduled_tasks() -> None:
    start = datetime(2018, 2, 8, tzinfo=KST)
    schedule = Schedule(OneDay(), (9,), start)
    for _ in range(4):
        schedule.pop()

    assert from_ns(schedule.next_ns).year > 2200
    resumed = Schedule(OneDay(), (9,), start)
    resumed.import_state(schedule.export_state())
    assert resumed.next_ns == schedule.next_ns


def test_a_day_has_no_evaluations_where_no_state_rules() -> None:
    start = datetime(2026, 1, 22, tzinfo=KST)
    assert told(Schedule(KrxCalendar(), (), start), 3) == [
        "01-22 00:00 DAY_START",
        "01-22 15:31 SESSION_END",
        "01-22 15:32 DAY_CLOSE",
    ]
    assert told(Schedule(AlwaysOpen(), (), start.astimezone(UTC)), 2) == [
        "01-21 09:00 DAY_START",
        "01-22 08:59 DAY_CLOSE",
    ]


def test_a_run_whose_next_task_was_an_evaluation_goes_on_without_evaluations() -> None:
    # Given the checkpoint of a version that evaluated a state which ruled nothing
    start = datetime(2026, 1, 22, tzinfo=KST)
    saved = {"next_ns": to_ns(start.replace(hour=15)), "kind": "EVALUATE"}
    # When
    restored = Schedule(KrxCalendar(), (), start)
    restored.import_state(saved)
    # Then
    assert told(restored, 1) == ["01-22 15:31 SESSION_END"]


class Berlin(AlwaysOpen):
    """A market that never closes, on the clocks of Berlin."""

    zone = ZoneInfo("Europe/Berlin")

    def local_date(self, moment: datetime) -> date:
        return moment.astimezone(self.zone).date()

    def at(self, day: date, hour: int, minute: int = 0) -> datetime:
        return datetime(day.year, day.month, day.day, hour, minute, tzinfo=self.zone)


def test_every_local_hour_is_evaluated_on_the_days_when_clocks_are_changed_too() -> None:
    # Given the last Sunday of March 2026, when 02:00 becomes 03:00, and the days around it
    schedule = Schedule(Berlin(), (9,), datetime(2026, 3, 28, tzinfo=Berlin.zone))

    # When the tasks of three days are taken
    tasks = [schedule.pop() for _ in range(3 * 26)]

    # Then each day has its start, 24 hours of its own clock and its close, as the calendar says
    for number, day in enumerate([date(2026, 3, 28), date(2026, 3, 29), date(2026, 3, 30)]):
        start, *hours, close = tasks[26 * number : 26 * (number + 1)]
        assert start == (to_ns(Berlin().at(day, 0)), ScheduledTask.DAY_START)
        assert hours == sorted((to_ns(Berlin().at(day, hour)), ScheduledTask.EVALUATE) for hour in range(24))
        assert close == (to_ns(Berlin().at(day, 23, 59)), ScheduledTask.DAY_CLOSE)


def test_evaluations_before_a_moment_are_skipped_and_no_other_task_is() -> None:
    # Given a schedule that is at the first evaluation of a day without a close
    schedule = Schedule(AlwaysOpen(), (9,), datetime(2026, 1, 22, tzinfo=UTC))
    assert schedule.skip_evaluations(1 << 62) == 0  # the day's start is next
    schedule.pop()

    # When those before 05:00 are skipped: 00:00 to 04:00
    skipped = schedule.skip_evaluations(to_ns(datetime(2026, 1, 22, 5, tzinfo=UTC)))

    # Then the one at 05:00 is next, and the day's close when all others are skipped
    assert (skipped, from_ns(schedule.next_ns).hour) == (5, 5)
    assert schedule.skip_evaluations(1 << 62) == 19
    assert schedule.next_kind is ScheduledTask.DAY_CLOSE
