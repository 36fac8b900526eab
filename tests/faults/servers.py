"""Faults of the machine, the queue, servers, the cache and the spreadsheet."""

from __future__ import annotations

from tests.faults import Fault, Group

QUEUE = Group(
    "Events and handlers",
    (
        Fault(
            "handler that fails",
            "A handler of a fill or an order raises again and again.",
            "It is tried again in its place; then the event is kept for an operator, FS098, later events of that "
            "order wait, and other orders go on.",
            (
                "tests/event/test_dispatcher_failures.py::"
                "test_after_the_fourth_failure_the_event_is_dead_lettered_and_p0_raises_fs098",
                "tests/event/test_dispatcher_failures.py::"
                "test_a_dead_lettered_p0_holds_later_events_of_that_order_for_the_operator_and_others_go_on",
            ),
        ),
        Fault(
            "event that cannot be read",
            "A stored event cannot be decoded.",
            "It is kept aside and never keeps a session from starting.",
            (
                "tests/event/test_journal_dispatcher.py::"
                "test_a_stored_event_that_cannot_be_decoded_is_kept_aside_and_never_stops_a_start",
            ),
        ),
        Fault(
            "flood of prices",
            "More prices come than can be handled.",
            "Old prices are dropped and counted; every event of an order is handled.",
            (
                "tests/event/test_flood_counts.py::"
                "test_prices_in_excess_are_dropped_and_counted_and_every_order_event_is_handled",
            ),
        ),
        Fault(
            "stop with a full queue",
            "A session ends with a thousand fills and orders in its queue.",
            "All are handled.",
            ("tests/event/test_journal_dispatcher.py::test_a_thousand_queued_at_a_stop_are_all_handled",),
        ),
    ),
)

MACHINE = Group(
    "The machine",
    (
        Fault(
            "disk full",
            "The disk of the journal or the store is full.",
            "Nothing that is not on disk is acknowledged, no half record is left, and the session can be resumed.",
            (
                "tests/event/test_journal.py::test_a_real_full_disk_leaves_only_what_was_acknowledged",
                "tests/event/test_journal.py::test_a_short_write_leaves_nothing_that_looks_like_a_record",
                "tests/sim/test_storage.py::test_a_full_disk_ends_the_session_and_loses_nothing",
            ),
        ),
        Fault(
            "disk that fails a sync",
            "The disk does not confirm what was written.",
            "The sync is never repeated; the session ends and can be resumed. No order leaves without it.",
            (
                "tests/event/test_journal.py::test_a_failed_sync_is_fatal_and_never_repeated",
                "tests/sim/test_disk_errors.py::"
                "test_a_sync_of_the_journal_that_fails_ends_the_session_and_it_can_be_resumed",
                "tests/broker/test_gateway.py::"
                "test_where_the_disk_does_not_confirm_nothing_leaves_and_the_session_ends",
            ),
        ),
        Fault(
            "busy processors",
            "Other programs take all processors.",
            "Everything is later; nothing is lost and no check of the books fails.",
            ("tests/sim/test_machine_faults.py::test_busy_processors_lose_nothing_and_break_no_check",),
        ),
        Fault(
            "no descriptors left",
            "The process may open no more files.",
            "A stop still works.",
            ("tests/runtime/test_stop_ways.py::test_without_a_descriptor_the_file_stops_all_the_same",),
        ),
    ),
)

PRICES = Group(
    "Prices and their line",
    (
        Fault(
            "impossible price",
            "A price is outside the band of the day, or on the scale of a split that is not known.",
            "It is held back and in no table. While it is in doubt the symbol takes no entry, and nothing "
            "fills at it; "
            "a wrong print that reverts leaves nothing behind.",
            (
                "tests/runtime/test_price_bands.py::test_no_price_outside_is_ever_in_a_table",
                "tests/runtime/test_price_bands.py::test_an_entry_in_doubt_is_refused_by_a_reason_of_its_own",
                "tests/runtime/test_price_bands.py::test_a_wrong_print_that_reverts_leaves_no_doubt_behind",
                "tests/sim/test_impossible_prices.py::test_no_fill_and_no_value_ever_comes_from_the_other_scale",
            ),
        ),
        Fault(
            "line of prices down",
            "The live feed is not connected.",
            "It is told once; prices grow old, and old prices let no entry leave. The line is made again.",
            (
                "tests/runtime/test_live_driver.py::test_a_line_that_is_down_is_told_once",
                "tests/broker/kis/test_feed.py::test_a_lost_line_is_a_gap_and_is_made_again_without_a_new_key",
            ),
        ),
        Fault(
            "line that flaps",
            "The live feed is cut a hundred times.",
            "It is registered once each time, and no storm of keys or registrations follows.",
            ("tests/broker/kis/test_feed.py::test_a_hundred_cuts_make_no_storm",),
        ),
        Fault(
            "too many prices",
            "A live feed is faster than the session.",
            "The newest are given, the others counted and told, safety warns; depth is unknown after a gap.",
            (
                "tests/runtime/test_live_driver.py::test_what_comes_too_fast_is_dropped_counted_and_told",
                "tests/runtime/test_live_driver.py::"
                "test_a_gap_is_told_and_the_depth_of_the_book_is_unknown_after_it",
            ),
        ),
        Fault(
            "price out of order",
            "A trade of KIS comes again, or an older one comes late.",
            "It is counted, moves nothing back, and its volume counts once.",
            (
                "tests/broker/kis/test_frames.py::"
                "TestTrades::test_a_trade_that_comes_again_is_counted_and_not_told_twice",
                "tests/broker/kis/test_frames.py::TestTrades::test_an_older_trade_moves_nothing_back",
            ),
        ),
    ),
)

STRATEGIES = Group(
    "Strategies",
    (
        Fault(
            "strategy that hangs",
            "A strategy does not return.",
            "Within a second the place is written down and safety is FAIL; after five the process ends, and the "
            "resumed session halts the strategy.",
            ("tests/cli/test_hangs.py::test_a_strategy_that_hangs_ends_the_session_and_is_halted_at_the_resume",),
        ),
        Fault(
            "paused process",
            "The machine pauses the whole process.",
            "It is no hang, and nothing is bought at prices from before.",
            (
                "tests/cli/test_hangs.py::"
                "test_a_pause_of_the_whole_process_is_no_hang_and_nothing_is_bought_at_prices_from_before",
            ),
        ),
        Fault(
            "rogue strategy",
            "A strategy asks for ten thousand orders over 2,500 symbols in a second.",
            "At most ten leave, the strategy is halted, and safety is LOCKDOWN.",
            (
                "tests/runtime/test_rogue_strategy.py::"
                "test_of_ten_thousand_orders_asked_for_in_a_second_ten_leave_at_most_and_safety_locks_down",
            ),
        ),
    ),
)

SERVERS = Group(
    "Servers that follow: database, cache, spreadsheet",
    (
        Fault(
            "database killed",
            "The database server or the process that writes to it is killed, again and again.",
            "The local book goes on; afterwards the server has every row once.",
            ("tests/db/server/test_kills.py::test_kills_of_the_process_and_of_the_server_lose_and_double_nothing",),
        ),
        Fault(
            "slow database",
            "The server is five seconds away.",
            "It counts as away, the session goes on, and it is followed again when it is near.",
            ("tests/db/server/test_slow.py::test_a_server_5_s_away_is_away_and_is_followed_when_it_is_near_again",),
        ),
        Fault(
            "half a transaction",
            "A batch fails in its middle, or loses a deadlock.",
            "Nothing of it is left, and it is applied as a whole later.",
            (
                "tests/db/server/test_transactions.py::test_an_error_in_the_middle_leaves_nothing_of_a_batch",
                "tests/db/server/test_transactions.py::test_the_loser_of_a_deadlock_is_applied_as_a_whole",
            ),
        ),
        Fault(
            "cache away",
            "The cache fails five times in a row.",
            "It is left alone, every value comes from the source, and a probe a minute finds it again.",
            (
                "tests/cache/test_guarded.py::test_a_cache_that_is_back_is_found_by_the_probe",
                "tests/cache/test_breaker.py::test_it_opens_at_the_fifth_failure_in_a_row",
            ),
        ),
        Fault(
            "cache believed",
            "The cache holds an older or a wrong position.",
            "No decision reads it.",
            ("tests/cache/test_nothing_reads.py",),
        ),
        Fault(
            "spreadsheet without quota",
            "The spreadsheet answers for ten minutes that it takes no more.",
            "It is asked with longer and longer pauses, rows wait in order, and trading is untouched.",
            (
                "tests/db/sheets/test_pace.py::"
                "test_ten_minutes_without_quota_are_waited_for_with_longer_and_longer_pauses",
                "tests/db/sheets/test_following.py::"
                "test_an_outbox_of_seven_days_is_sent_oldest_first_at_the_pace_that_is_allowed",
            ),
        ),
        Fault(
            "edited spreadsheet",
            "Someone edits, sorts or deletes rows of the spreadsheet.",
            "The difference is named, the local book wins, and nothing is read back.",
            (
                "tests/db/sheets/test_people.py::"
                "test_an_edited_row_is_named_and_the_local_book_is_written_beside_it",
                "tests/db/sheets/test_people.py::test_what_someone_changed_is_never_a_part_of_a_book",
            ),
        ),
        Fault(
            "spreadsheet writer killed",
            "The writer is killed at any call.",
            "No row is there twice, none is missing.",
            ("tests/db/sheets/test_kills.py::test_kills_at_any_call_lose_and_double_nothing",),
        ),
    ),
)
GROUPS = (PRICES, STRATEGIES, QUEUE, MACHINE, SERVERS)
