"""Faults of configuration, secrets and texts from outside."""

from __future__ import annotations

from tests.faults import Fault, Group

CONFIGURATION = Group(
    "Configuration",
    (
        Fault(
            "file that is no configuration",
            "A file is no YAML, has tabs, a key twice, an object, or expands without end.",
            "It is refused with its line; nothing of it is made or expanded.",
            (
                "tests/config/test_document.py::test_what_is_not_read_is_refused_with_its_line",
                "tests/config/test_document.py::test_an_anchor_bomb_is_refused_without_being_expanded",
                "tests/config/test_loader.py::test_no_text_whatever_breaks_the_reader",
            ),
        ),
        Fault(
            "wrong setting",
            "A setting is not known, misspelt, out of its range, NaN, or only looks like a number.",
            "It is refused with the place, the value and what is allowed.",
            (
                "tests/config/test_bind.py::test_what_cannot_be_meant_is_refused_with_place_value_and_allowed",
                "tests/config/test_bounds.py::test_a_number_is_allowed_up_to_its_bounds_and_refused_beyond_them",
                "tests/config/test_bounds.py::test_no_number_takes_what_only_looks_like_one",
            ),
        ),
        Fault(
            "bad reload",
            "A running session is told to read a file that is wrong, half written, gone or forbidden.",
            "The old configuration stays, with its hash, and the refusal is written down.",
            (
                "tests/config/test_manager.py::test_an_invalid_or_half_written_file_changes_nothing",
                "tests/config/test_manager.py::test_a_deleted_file_changes_nothing",
                "tests/config/test_manager.py::test_a_file_without_permission_changes_nothing",
                "tests/runtime/test_operator_commands.py::test_a_refused_reload_is_a_refusal_and_is_written_down",
            ),
        ),
        Fault(
            "reload between decision and order",
            "A limit changes while orders work.",
            "An order that works keeps what it was approved with; the next one has the new limits. What lets more"
            " pass waits for a confirmation.",
            (
                "tests/runtime/test_strategy_watch.py::test_an_order_that_works_keeps_what_it_was_approved_with",
                "tests/runtime/test_strategy_watch.py::"
                "test_a_soft_limit_of_a_reload_is_in_force_for_the_next_decision",
                "tests/config/test_confirmation.py::test_a_looser_limit_waits_for_its_confirmation",
                "tests/runtime/test_configurations.py::test_a_kill_in_the_middle_of_a_reload",
            ),
        ),
        Fault(
            "file that others may change",
            "A file of the configuration is writable for all, or a link.",
            "It is refused.",
            (
                "tests/config/test_document.py::test_a_file_everybody_may_write_is_refused",
                "tests/config/test_document.py::test_a_symbolic_link_is_refused",
            ),
        ),
        Fault(
            "keys of the other account",
            "A session with real money is given the keys or the address of paper trading, or the other way round.",
            "It is refused; real money needs the setting in a file and the one who starts it.",
            (
                "tests/broker/kis/test_wrong_keys.py::test_keys_of_the_other_kind_of_account",
                "tests/broker/kis/test_credentials.py::"
                "test_the_keys_of_one_account_never_stand_for_those_of_the_other",
                "tests/broker/kis/test_credentials.py::test_a_live_account_needs_the_setting_and_the_one_who_asks",
            ),
        ),
    ),
)

SECRETS = Group(
    "Secrets and hostile texts",
    (
        Fault(
            "secret in an output",
            "A key, token or account number gets near a log, a file, an address or an error.",
            "None is in any of them, not even encoded or cut in half.",
            (
                "tests/sim/test_five_days_at_kis.py::test_no_secret_is_in_anything_that_the_session_leaves",
                "tests/broker/kis/test_credentials.py::test_no_error_and_no_line_of_the_log_shows_a_secret",
                "tests/config/test_loader.py::test_a_secret_shows_nowhere",
            ),
        ),
        Fault(
            "secret that others may read",
            "A file with a secret is readable for others, or a password is in a URL or a command line.",
            "It is refused without being shown.",
            (
                "tests/broker/kis/test_credentials.py::test_a_file_that_is_none_is_named_and_not_shown",
                "tests/db/test_access.py::test_a_file_that_others_may_read_is_refused",
                "tests/db/test_access.py::test_a_password_in_the_url_is_refused_and_not_shown",
                "tests/cache/test_access.py::test_a_password_in_the_url_is_refused_and_not_shown",
            ),
        ),
        Fault(
            "text that wants to be code",
            "A symbol, a name or a reason has SQL, a formula, or an object to unpack.",
            "It is only text; nothing is unpacked or evaluated.",
            (
                "tests/db/test_sqlite.py::TestWhatIsWrittenComesBack::test_any_text_is_only_text",
                "tests/db/sheets/test_cells.py::test_nothing_that_is_written_is_evaluated",
                "tests/test_tidy.py::test_nothing_is_pickled_evaluated_or_loaded_unsafely",
            ),
        ),
        Fault(
            "altered row",
            "Someone changes, removes or adds a row of the book.",
            "The chain of digests breaks, and the row is named.",
            (
                "tests/db/test_chain.py::test_a_changed_value_is_named_with_table_and_row",
                "tests/db/test_chain.py::test_a_row_that_was_taken_out_is_named",
                "tests/db/test_chain.py::test_a_row_that_was_put_in_is_named",
            ),
        ),
        Fault(
            "another version of a library",
            "A newer library behaves differently.",
            "Every one that is installed is pinned to the version that was tried (`constraints.txt`).",
            ("tests/test_constraints.py::test_what_is_required_is_pinned_with_all_that_it_leads_to",),
        ),
    ),
)
GROUPS = (CONFIGURATION, SECRETS)
