"""Faults of events, the machine and strategies."""

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
        Fault(
            "more fills than can be handled",
            "Events of orders come faster than they are handled.",
            "They wait in the journal, in their order, and none is lost; an emergency stop goes before them; a "
            "producer in a thread waits when the disk falls far behind.",
            (
                "tests/event/test_journal_dispatcher.py::test_events_that_are_spilled_over_several_files_come_back",
                "tests/event/test_journal_dispatcher.py::test_an_emergency_stop_overtakes_what_was_spilled",
                "tests/event/test_journal_dispatcher.py::"
                "test_a_producer_in_a_thread_waits_when_the_disk_falls_far_behind",
            ),
        ),
        Fault(
            "many producers",
            "Eight threads give events at once.",
            "None is lost, none comes twice, and those of one order keep their order.",
            (
                "tests/event/test_queue.py::test_a_ring_is_exact_with_eight_producer_threads",
                "tests/event/test_journal_lanes.py::"
                "test_whatever_the_pace_nothing_is_lost_or_overtaken_and_memory_is_bounded",
            ),
        ),
        Fault(
            "hostile payload",
            "An event has a payload that cannot be stored, or one of ten megabytes.",
            "What cannot be stored is refused where it is given and harms nothing; what is large is stored.",
            (
                "tests/event/test_journal_dispatcher.py::"
                "test_an_event_that_cannot_be_stored_is_refused_and_harms_nothing",
                "tests/event/test_journal_dispatcher.py::test_a_payload_of_ten_megabytes_is_journalled",
            ),
        ),
        Fault(
            "fills without an end",
            "Events of orders never end.",
            "What has a deadline keeps it, an emergency stop goes first, and a handler that gives an event while "
            "the queue is full does not wait for itself.",
            (
                "tests/event/test_dispatcher_inline.py::test_the_deadline_is_kept_under_endless_p0",
                "tests/event/test_queue.py::test_emergency_stop_goes_first_never_waits_and_keeps_its_own_order",
                "tests/event/test_dispatcher_loop.py::"
                "test_an_async_p0_handler_that_dispatches_p0_into_a_full_queue_does_not_wait_on_itself",
            ),
        ),
        Fault(
            "output that no one reads",
            "Terminal, pipe or log take nothing any more.",
            "Trading goes on; what does not fit is dropped and counted.",
            (
                "tests/cli/test_unread_output.py::test_a_pipe_that_is_not_read_does_not_stop_trading",
                "tests/cli/test_unread_output.py::test_a_full_disk_behind_standard_error_is_no_failure",
                "tests/cli/test_terminal.py::test_the_first_ctrl_c_ends_a_session_whose_terminal_takes_nothing",
            ),
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
        Fault(
            "no thread",
            "The machine starts no thread.",
            "The session says so before it begins and can be begun later; what only helps beside the loop is done"
            " on it.",
            (
                "tests/cli/test_no_thread.py::"
                "test_a_session_whose_thread_cannot_be_started_says_so_and_can_be_begun_later",
                "tests/cli/test_no_thread.py::test_what_helps_beside_the_loop_is_done_on_it_or_left_out",
                "tests/event/test_journal_no_thread.py::"
                "test_a_journal_whose_thread_does_not_start_says_so_and_lets_go",
            ),
        ),
        Fault(
            "no memory",
            "Memory runs out in the middle of anything.",
            "Either nothing has happened, or the session ends and its next process goes on from what was whole. "
            "No effect is half done.",
            (
                "tests/sim/test_failing_calls.py::"
                "test_what_is_raised_at_any_call_of_a_way_changes_nothing_in_the_end",
                "tests/sim/test_failing_calls.py::"
                "test_on_the_event_loop_an_effect_is_whole_or_the_work_of_the_next_process",
                "tests/runtime/test_loop_failure.py::"
                "test_a_callback_of_the_loop_that_raises_ends_the_session_and_the_next_goes_on",
            ),
        ),
        Fault(
            "asked to end",
            "A session gets SIGTERM, SIGINT, or both twice.",
            "The first ends it with 130 once everything that is queued is handled, and it can be resumed; the "
            "second ends it at once, as a crash does.",
            (
                "tests/cli/test_session_lives.py::test_a_signal_stops_with_130_and_the_run_can_be_resumed",
                "tests/cli/test_hangs.py::test_the_second_signal_ends_it_at_once",
                "tests/cli/test_unread_output.py::test_the_first_signal_stops_a_session_whose_output_is_not_read",
            ),
        ),
        Fault(
            "damaged book",
            "A byte of the local book is changed, a page of it is lost.",
            "It is refused in a sentence that names where, or it does no harm.",
            (
                "tests/cli/test_damaged_store.py::test_a_damaged_file_is_refused_in_a_sentence_or_does_no_harm",
                "tests/cli/test_damaged_store.py::test_a_table_whose_page_is_lost_is_refused_by_what_reads_it",
                "tests/db/test_damaged_rows.py::test_a_damaged_value_is_named_by_table_and_row",
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
GROUPS = (STRATEGIES, QUEUE, MACHINE)
