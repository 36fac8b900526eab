"""Faults of orders and of the broker."""

from __future__ import annotations

from tests.faults import Fault, Group

RECOVERY = "tests/runtime/test_recovery.py::test_"
UNKNOWN = "tests/runtime/test_unknown_at_broker.py::test_"
BOOKS = "tests/runtime/test_broker_books.py::test_"
FAULTS = "tests/runtime/test_broker_faults.py::test_"
NUMBERED = "tests/runtime/test_numbered_reports.py::test_"
EXTERNAL = "tests/runtime/test_external_fills.py::test_"
INFERRED = "tests/runtime/test_external_inferred.py::test_"
REPORTS = "tests/runtime/test_execution_reports.py::test_"
QUARANTINE = "tests/runtime/test_quarantine.py::test_"
LATE = "tests/runtime/test_late_answers.py::test_"
KILLS = "tests/sim/test_broker_kill.py::test_"
SOCKETS = "tests/sim/test_orders_through_sockets.py::test_"
GATEWAY = "tests/broker/test_gateway.py::test_"

FATES = Group(
    "An order whose fate is not known",
    (
        Fault(
            "no answer",
            "The broker takes an order and never answers.",
            "The order is UNKNOWN and is not sent again; its money stays reserved, its symbol and side take no new "
            "order. The broker's lists are read every second, and the order is adopted when they show it.",
            (
                RECOVERY + "killed_after_the_answer_was_lost",
                UNKNOWN + "an_order_without_a_name_is_adopted_when_it_alone_is_what_was_asked_for",
                BOOKS + "what_is_uncertain_is_asked_for_every_second_and_the_rest_every_three",
                GATEWAY + "what_is_not_answered_in_time_is_unknown_and_sent_once",
                SOCKETS + "no_order_arrives_twice_and_the_books_are_the_brokers",
                "tests/sim/test_ambiguous_orders.py::test_nothing_is_sent_or_booked_twice_and_nothing_is_missed",
            ),
        ),
        Fault(
            "never received",
            "An order is lost on the way, and nothing says so.",
            "Two answers in which it is absent count, at least two seconds apart, both asked for when the "
            "broker had "
            "to show it, every page read, no news that may be its own. Then it is NOT_SENT and its money is free.",
            (
                UNKNOWN + "absence_counts_from_answers_requested_after_the_lag_and_two_seconds_apart",
                UNKNOWN + "a_page_that_was_not_read_is_no_absence",
                NUMBERED + "an_order_is_not_proved_absent_while_news_waits_that_may_be_its_own",
                "tests/runtime/test_reconciliation.py::test_one_absence_is_not_believed",
            ),
        ),
        Fault(
            "late answer",
            "The answer comes after the order was given up.",
            "It is adopted; a question that was under way decides nothing.",
            (
                LATE + "it_is_adopted_and_the_question_that_was_under_way_decides_nothing",
                LATE + "a_late_rejection_ends_it_and_gives_the_money_back",
                LATE + "list_and_late_answer_say_the_same_in_any_order",
            ),
        ),
        Fault(
            "lists lag",
            "The broker's lists show an order only seconds after it was taken.",
            "Absence is not believed before that time is over.",
            (
                UNKNOWN + "absence_is_not_believed_while_the_broker_may_not_show_the_order_yet",
                RECOVERY + "absence_counts_only_when_the_broker_would_show_the_order",
            ),
        ),
        Fault(
            "filled at once",
            "An order without an answer has filled, and is gone from the open orders.",
            "Being absent from the open orders alone decides nothing: executions and ended orders are read too.",
            (UNKNOWN + "an_order_that_left_the_open_ones_by_being_filled_is_not_absent",),
        ),
        Fault(
            "two alike",
            "The broker keeps no ids of ours and shows two orders that may be the one without an answer.",
            "Neither is taken for ours; the order stays UNKNOWN and a person is told the numbers.",
            (
                UNKNOWN + "of_two_orders_alike_neither_is_taken_for_ours_and_a_person_is_told",
                UNKNOWN + "an_order_of_another_quantity_is_neither_ours_nor_a_proof_of_absence",
            ),
        ),
        Fault(
            "cut or dead line",
            "The line is cut with orders on the way, or goes dead without an end.",
            "What has no answer is UNKNOWN. Entries wait until the books were compared on a new line; exits and "
            "cancels go on.",
            (
                SOCKETS + "an_order_on_a_line_that_goes_dead_is_unknown_and_is_found_on_the_next_one",
                BOOKS + "entries_wait_after_a_lost_line_until_the_books_were_compared",
                BOOKS + "an_answer_to_a_question_of_before_the_loss_does_not_count",
                "tests/broker/kis/test_feed.py::test_a_half_open_line_is_found_by_its_silence",
            ),
        ),
    ),
)

FILLS = Group(
    "Fills",
    (
        Fault(
            "told twice",
            "A fill is told again: by the line, in a list, after a reconnect, on the next day.",
            "It is booked once; the order goes on.",
            (
                BOOKS + "a_fill_counts_once_on_whatever_ways_and_days_it_is_told",
                RECOVERY + "a_fill_journalled_and_sent_again_is_booked_once",
            ),
        ),
        Fault(
            "fill before answer",
            "A fill comes before the answer to its order.",
            "It is booked at once where it names the order; where it names the broker's number alone it waits "
            "for it.",
            (
                NUMBERED + "a_fill_that_is_faster_than_its_answer_is_booked_when_the_answer_names_its_number",
                "tests/runtime/test_slow_broker.py::test_a_fill_that_overtakes_its_answer_is_booked_at_once",
                UNKNOWN + "an_order_whose_fill_was_faster_than_its_answer_gets_its_number_later",
            ),
        ),
        Fault(
            "notice lost",
            "The line is well, and the notice of a fill does not come.",
            "The books show it within five seconds and it is booked. When still no notice comes, AN030 (WARNING).",
            (
                "tests/sim/test_dropped_notices.py::"
                "test_a_fill_without_a_notice_is_found_within_five_seconds_and_booked_once",
                FAULTS + "fills_that_come_by_no_notice_although_the_line_is_well_are_booked_and_a_warning",
                BOOKS + "one_notice_that_is_missing_is_found_and_said",
                "tests/runtime/test_cumulative_fills.py::"
                "test_what_the_quantity_shows_beyond_the_notices_is_booked_at_what_it_cost",
            ),
        ),
        Fault(
            "exit of what is sold",
            "A sale was told by no notice, and the holding is to be sold again.",
            "One order is rejected; the books are read before the next one, which then is not needed.",
            (
                "tests/runtime/test_rejected_exits.py::"
                "test_one_fill_notice_that_is_missing_leads_to_one_rejected_exit_and_is_found_at_once",
                "tests/runtime/test_rejected_exits.py::"
                "test_shares_that_a_person_has_sold_are_not_offered_again_and_again",
            ),
        ),
        Fault(
            "traded by hand",
            "A person trades in the broker's own application.",
            "The fill is EXTERNAL, with AN030; it is never ours, and nothing of it is sold by QTS. One whose "
            "notice "
            "was lost is found in the list of orders.",
            (
                EXTERNAL + "a_fill_of_an_order_placed_by_hand_is_external_with_a_warning",
                EXTERNAL + "nothing_of_external_is_ever_sold_by_us",
                NUMBERED + "a_fill_of_a_number_that_none_of_ours_has_is_external_after_a_comparison",
                INFERRED + "what_a_person_traded_and_no_notice_told_is_external_after_two_readings",
            ),
        ),
        Fault(
            "fill after the end",
            "A fill comes for an order that was cancelled, rejected, or never sent as far as we knew.",
            "It is booked, the order is FILLED_LATE, and safety warns.",
            (
                REPORTS + "a_fill_after_the_cancel_is_booked_and_warned_about",
                FAULTS + "a_fill_of_an_order_that_had_not_reached_the_broker_is_booked_and_a_warning",
            ),
        ),
        Fault(
            "more than ordered",
            "More is executed than was ordered.",
            "It is booked, and FS070 (FAIL) lets only orders leave that reduce risk.",
            (
                REPORTS + "an_overfill_is_booked_and_raises_fs070",
                QUARANTINE + "an_overfill_up_to_twice_the_order_is_booked_and_fails_safety",
            ),
        ),
        Fault(
            "impossible fill",
            "A fill has no number for a price, a quantity of 0, another symbol or side, a price out of all bounds.",
            "It is not booked and not lost: it is quarantined as it came, FS041 (FAIL), and the books are "
            "compared.",
            (
                QUARANTINE + "a_fill_that_does_not_fit_is_kept_fails_safety_and_has_the_books_compared",
                REPORTS + "a_fill_that_does_not_fit_its_order_is_not_booked_and_raises_fs041",
                EXTERNAL + "an_impossible_fill_of_an_unknown_order_is_kept",
            ),
        ),
        Fault(
            "taken back",
            "The broker takes an execution back.",
            "A reversal is booked beside the fill, which stays; the books are compared.",
            (
                EXTERNAL + "an_execution_that_is_taken_back_is_booked_back_and_the_fill_is_kept",
                EXTERNAL + "an_execution_may_be_taken_back_before_it_is_reported",
                "tests/runtime/test_cumulative_fills.py::test_less_than_is_booked_is_taken_back_after_two_readings",
            ),
        ),
        Fault(
            "shrunken row",
            "A list shows an order as complete with a smaller quantity than was ordered.",
            "Our quantity decides: the order stays open, a person is told, and what fills later is booked.",
            (
                BOOKS + "an_order_is_complete_by_our_quantity_not_by_a_row_that_shows_another",
                BOOKS + "a_row_of_another_quantity_takes_nothing_back",
            ),
        ),
        Fault(
            "old list",
            "A fill is booked while the broker is being asked, and the answer is older.",
            "Nothing is corrected by it; the broker is asked again.",
            (
                "tests/runtime/test_old_answers.py::test_what_happens_while_the_broker_is_asked_is_not_corrected",
                "tests/runtime/test_old_answers.py::"
                "test_answers_that_are_always_older_than_the_newest_fill_take_nothing_back",
            ),
        ),
        Fault(
            "short holding",
            "A sale is executed for more than was held, or is told before the purchase.",
            "It is booked, in memory and in the store, with FS070. A forced exit (an emergency stop that sells, a "
            "halted strategy, an inactive engine, `qts flatten`) buys back what is missing and not being bought "
            "yet, never more. Without one a person decides; a purchase that is told late makes the books whole.",
            (
                FAULTS + "a_holding_that_a_sale_makes_short_is_booked_and_bought_back",
                "tests/runtime/test_short_holdings.py::test_an_emergency_stop_buys_what_is_missing_and_ends_flat",
                "tests/runtime/test_short_holdings.py::"
                "test_what_a_working_purchase_buys_back_already_is_not_bought_twice",
                REPORTS + "selling_more_than_was_held_is_booked_and_raises_fs070",
            ),
        ),
    ),
)

BROKER = Group(
    "The broker as a whole",
    (
        Fault(
            "storm of rejects",
            "The broker rejects order after order.",
            "A symbol waits longer after each, and takes no entry until the next day after five in a row; "
            "twenty in a "
            "minute are FS043 (FAIL). Exits go on with a pause.",
            (
                FAULTS + "of_a_thousand_orders_that_would_all_be_rejected_in_ten_seconds_twenty_leave",
                "tests/runtime/test_rejects.py::"
                "test_a_strategy_that_asks_at_every_quote_sends_five_orders_and_no_more",
                "tests/runtime/test_rejects.py::test_exits_go_on_trying_with_a_pause_while_entries_are_stopped",
            ),
        ),
        Fault(
            "hostile text",
            "A reason has control characters, HTML, line breaks, format codes, or a megabyte.",
            "It is applied; every text that is kept or shown is one short line of printable characters, and pages "
            "escape it.",
            (
                FAULTS + "whatever_a_reject_says_every_text_of_it_is_one_short_line",
                "tests/report/test_markup.py::test_text_is_escaped_and_markup_is_not",
                "tests/execution/test_texts.py::test_every_text_becomes_one_that_every_file_can_hold",
                QUARANTINE + "an_end_is_applied_whatever_its_reason_says",
            ),
        ),
        Fault(
            "no requests left",
            "An emergency begins while entries have used up the requests of the second.",
            "Cancels, exits and questions about orders go before every entry; from four requests in a second "
            "up half "
            "are kept for them.",
            (
                GATEWAY + "at_the_limit_of_requests_an_emergency_goes_before_every_entry_that_waits",
                "tests/broker/test_lanes.py::test_from_four_in_a_second_up_half_are_kept_for_what_cannot_wait",
                "tests/broker/test_lanes.py::test_what_leaves_and_when_is_what_the_rules_say",
            ),
        ),
        Fault(
            "wrong clock",
            "The machine's clock is an hour off, jumps, or differs from the broker's.",
            "Durations do not change. By the broker's times: more than 500 ms apart is AN040 (WARNING), more "
            "than two "
            "seconds FS060 (FAIL), in either direction.",
            (
                FAULTS + "a_clock_ahead_of_or_behind_the_brokers_warns_and_from_two_seconds_on_lets_no_entry_leave",
                "tests/sim/test_machine_faults.py::"
                "test_a_wall_clock_that_jumps_while_it_runs_changes_no_time_of_the_session",
                "tests/sim/test_machine_faults.py::test_a_wall_clock_that_is_wrong_changes_no_time_of_the_session",
                "tests/broker/test_broker_clock.py::test_several_answers_prove_what_one_cannot",
            ),
        ),
        Fault(
            "answer that proves nothing",
            "The broker answers 401, 403, 429, 5xx, HTML, half a body, or in a wrong character set.",
            "Only a text of the broker that says so is a refusal; everything else leaves the order UNKNOWN, and it "
            "leaves once. A list of which a page was not read is no list.",
            (
                "tests/broker/kis/test_orders.py::test_anything_else_proves_nothing_and_the_order_leaves_once",
                "tests/broker/kis/test_texts.py::test_what_proves_no_refusal_is_none",
                "tests/broker/kis/test_rest.py::test_a_post_is_never_sent_again",
                "tests/broker/kis/test_rest.py::test_a_list_of_which_a_page_was_not_read_is_no_list",
            ),
        ),
        Fault(
            "token that ends",
            "The token of KIS ends in the middle of a session, or cannot be renewed yet.",
            "It is renewed once for all processes of the account, and the query asked again; an order waits for it "
            "only a moment, and is then not sent.",
            (
                "tests/broker/kis/test_token.py::"
                "test_a_token_that_ends_in_mid_session_is_renewed_once_and_the_query_asked_again",
                "tests/broker/kis/test_token.py::test_processes_that_ask_at_one_moment_get_one_token",
                "tests/broker/kis/test_token.py::test_a_token_that_cannot_be_renewed_yet_is_used_on",
                "tests/broker/kis/test_orders.py::test_an_order_does_not_wait_for_a_token_beyond_a_moment",
            ),
        ),
        Fault(
            "refused exit",
            "A forced exit is rejected by the broker, or the market takes none.",
            "It is tried again with a pause until the holding is gone.",
            (
                "tests/runtime/test_rejects.py::test_exits_go_on_trying_with_a_pause_while_entries_are_stopped",
                "tests/runtime/test_forced_exits.py::test_a_refused_exit_is_tried_again_every_minute_until_it_is_done",
            ),
        ),
        Fault(
            "silent broker",
            "The broker answers nothing for ten seconds.",
            "Prices, fills, commands and stops go on; nothing waits for it.",
            (
                "tests/runtime/test_hanging_broker.py::"
                "test_prices_fills_commands_and_stops_go_on_for_ten_seconds_without_an_answer",
            ),
        ),
    ),
)

KILLED = Group(
    "A process that is killed",
    (
        Fault(
            "killed before the order left",
            "The process is killed when the intent of an order is stored and before the order leaves.",
            "The next process finds the intent. What its file proves unsent, or the broker's books twice, is "
            "NOT_SENT; "
            "it is not sent by itself.",
            (
                RECOVERY + "killed_when_the_intent_is_written_and_nothing_was_sent",
                "tests/runtime/test_recovery_memory.py::"
                "test_an_order_that_a_checkpoint_met_while_its_intent_was_written_is_told_and_not_decided_again",
                "tests/broker/test_sent_file.py::test_what_is_in_it_was_sent_and_what_is_not_never_left",
                KILLS + "kills_at_one_place_after_the_other_lose_nothing_and_do_nothing_twice",
            ),
        ),
        Fault(
            "killed before the answer",
            "The process is killed when an order has left and before its answer is there.",
            "The order is UNKNOWN, found in the broker's books, and sent once.",
            (
                RECOVERY + "killed_when_it_was_sent_and_not_answered",
                KILLS + "kills_at_one_place_after_the_other_lose_nothing_and_do_nothing_twice",
            ),
        ),
        Fault(
            "killed before the sync",
            "The process is killed when a fill is in the journal and not yet confirmed by the disk.",
            "The record is there or is not; the broker's books tell what is missing.",
            (
                "tests/event/test_journal_kill.py::test_many_kills_lose_nothing_and_do_nothing_twice",
                RECOVERY + "a_fill_that_the_broker_knows_and_the_rows_lack_is_booked_once",
            ),
        ),
        Fault(
            "killed around a booking",
            "The process is killed before a fill is stored, or after that and before memory has it.",
            "It is applied once.",
            (
                RECOVERY + "a_fill_that_was_journalled_and_not_stored_is_applied",
                RECOVERY + "a_fill_that_is_stored_and_in_no_checkpoint_is_not_taken_back",
                "tests/sim/test_kill.py::test_one_kill_at_any_record_row_or_transaction_changes_nothing",
            ),
        ),
        Fault(
            "killed while files are replaced",
            "The process is killed while a file of the journal begins or the gateway's file is rewritten.",
            "The older file is gone on with; a half-made one is ignored.",
            (
                "tests/event/test_journal.py::test_an_empty_new_file_after_a_kill_during_rotation_is_gone_on_with",
                "tests/broker/test_sent_file.py::"
                "test_a_file_that_was_being_rewritten_when_the_process_was_killed_is_ignored",
            ),
        ),
        Fault(
            "torn or damaged journal",
            "The end of the journal is torn off, or a bit of it has flipped.",
            "A torn end is cut off at the last whole record. Damage before it refuses the start and names the "
            "offset.",
            (
                "tests/event/test_journal_segments.py::"
                "test_the_last_three_records_cut_at_every_byte_leave_the_whole_ones_before",
                "tests/event/test_journal_segments.py::test_every_flipped_bit_of_the_last_record_cuts_it_off",
                "tests/event/test_journal_segments.py::"
                "test_every_flipped_bit_of_a_record_that_others_follow_is_refused_with_its_offset",
                "tests/broker/test_sent_file.py::test_no_flipped_bit_makes_an_order_unsent",
            ),
        ),
        Fault(
            "started twice",
            "The same session, or another one on the same account, is started a second time.",
            "The second one refuses and names the process that runs.",
            (
                "tests/db/test_datadir.py::test_a_second_instance_is_refused_with_the_pid_of_the_first",
                "tests/broker/test_account_lock.py::"
                "test_a_second_session_of_an_account_is_refused_and_told_which_process_has_it",
                "tests/cli/test_two_hosts.py::test_the_second_of_two_hosts_is_refused",
            ),
        ),
    ),
)
GROUPS = (FATES, FILLS, BROKER, KILLED)
