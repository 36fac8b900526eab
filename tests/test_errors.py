"""Errors by what the caller does with them."""

from __future__ import annotations

import pytest

from qts import errors
from qts.errors import (
    BatchRefused,
    BrokerUnavailable,
    CacheStaleDataError,
    ConfigError,
    ContractError,
    DataError,
    DefectError,
    Fenced,
    Gap,
    HalfDoneError,
    InputError,
    InvariantBreach,
    MissingExtraError,
    QtsError,
    StateError,
    StorageError,
    Unavailable,
    UnfinishedRunError,
)

EXIT_CODES = {
    QtsError: 1,
    InputError: 2,
    ConfigError: 2,
    DataError: 2,
    ContractError: 2,
    StateError: 2,
    UnfinishedRunError: 2,
    MissingExtraError: 2,
    StorageError: 3,
    HalfDoneError: 3,
    Unavailable: 3,
    Gap: 3,
    Fenced: 3,
    BatchRefused: 3,
    CacheStaleDataError: 3,
    BrokerUnavailable: 3,
    DefectError: 3,
    InvariantBreach: 4,
}


def test_every_error_has_its_exit_code() -> None:
    everything = {
        thing for thing in vars(errors).values() if isinstance(thing, type) and issubclass(thing, Exception)
    }
    assert everything == set(EXIT_CODES)
    for kind, code in EXIT_CODES.items():
        assert kind.exit_code == code, kind.__name__


@pytest.mark.parametrize("kind", [ConfigError, DataError, ContractError])
def test_what_the_user_gave_is_an_input_error(kind: type[QtsError]) -> None:
    assert issubclass(kind, InputError)


def test_the_tree_drawn_on_top_is_the_tree() -> None:
    drawn = errors.__doc__ or ""
    assert all(kind.__name__ in drawn for kind in EXIT_CODES)


def test_a_missing_extra_says_how_to_get_it() -> None:
    error = MissingExtraError("--report", "report")

    assert str(error) == (
        "--report needs the optional extra 'report' of qts-runtime: in its source directory run "
        "pip install -e '.[report]'"
    )
