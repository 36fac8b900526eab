"""Each refusal of a server becomes one error of QTS: whose affair it is, in one line with what to do."""

from __future__ import annotations

import socket
import ssl

import asyncpg
import pytest

from qts.db.timescale.failures import Failure, TooLong, explained, is_worth_another_try
from qts.errors import BatchRefused, Fenced, InputError, QtsError, Unavailable


def refused_with(code: str, message: str = "the\nmessage") -> BaseException:
    return asyncpg.PostgresError.new({"C": code, "M": message})


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("28P01", InputError),  # wrong password
        ("28000", InputError),  # not allowed to connect
        ("3D000", InputError),  # no such database
        ("42P01", InputError),  # no such table
        ("42883", InputError),  # no such function
        ("42501", InputError),  # no right
        ("22003", BatchRefused),  # out of range
        ("22P02", BatchRefused),  # no number
        ("23502", BatchRefused),  # null
        ("23505", BatchRefused),  # there already
        ("23514", BatchRefused),  # a check
        ("QTFEN", Fenced),
        ("QTACC", BatchRefused),
        ("08006", Unavailable),  # the connection failed
        ("25006", Unavailable),  # it has become a replica
        ("25P03", Unavailable),  # idle in a transaction
        ("53100", Unavailable),  # the disk is full
        ("53200", Unavailable),  # out of memory
        ("53300", Unavailable),  # too many connections
        ("55P03", Unavailable),  # a lock
        ("57014", TooLong),  # a statement took too long
        ("57P01", Unavailable),  # it stops
        ("57P03", Unavailable),  # it starts
        ("58030", Unavailable),  # its disk fails
        ("40P01", Unavailable),  # a deadlock, once too often
        ("XX001", Unavailable),  # a damaged table: asked again, and shown
    ],
)
def test_a_code_is_someone_s_affair(code: str, kind: type[QtsError]) -> None:
    error = explained(refused_with(code), "u@db:1/b", "apply batch 3")
    assert type(error) is kind
    assert str(error).startswith("u@db:1/b: cannot apply batch 3: the message")
    assert f"({code})" in str(error)
    assert "\n" not in str(error)


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(111, "refused"),
        ConnectionResetError(),
        OSError("no route"),
        TimeoutError(),
        EOFError(),
        asyncpg.InterfaceError("the connection is closed"),
        asyncpg.InternalClientError("got result for unknown protocol state"),
    ],
)
def test_what_the_network_does_is_unavailable(error: BaseException) -> None:
    assert isinstance(error, Failure)
    assert type(explained(error, "here", "read")) is Unavailable
    assert not is_worth_another_try(error)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ConnectionRefusedError(111, "Connect call failed ('127.0.0.1', 1)"), "connection refused"),
        (
            OSError(
                "Multiple exceptions: [Errno 111] Connect call failed ('::1', 1, 0, 0), "
                "[Errno 111] Connect call failed ('127.0.0.1', 1)"
            ),
            "connection refused",
        ),
        (
            OSError("Multiple exceptions: [Errno 111] Connect call failed, [Errno 113] Connect call failed"),
            "connection refused and no route to host",
        ),
        (FileNotFoundError(2, "No such file or directory"), "no such file or directory"),
        (socket.gaierror(-2, "Name or service not known"), "the host is not known (Name or service not known)"),
        (TimeoutError(), "no answer in time"),
        (EOFError(), "the connection was cut"),
        (ConnectionResetError(), "the connection was cut"),
        (OSError("no route"), "no route"),
    ],
)
def test_what_the_network_does_is_told_in_words(error: BaseException, said: str) -> None:
    assert str(explained(error, "u@db:1/b", "connect")) == f"u@db:1/b: cannot connect: {said}"


@pytest.mark.parametrize(
    "error",
    [
        ssl.SSLCertVerificationError("self-signed certificate"),
        ConnectionError('PostgreSQL server at "db" rejected SSL upgrade'),
    ],
)
def test_encryption_that_fails_is_to_be_put_right(error: BaseException) -> None:
    explanation = explained(error, "here", "connect")
    assert type(explanation) is InputError
    assert "sslrootcert" in str(explanation)


def test_only_what_the_server_ended_for_others_is_tried_again() -> None:
    assert [code for code in ("40001", "40P01", "55P03", "57014") if is_worth_another_try(refused_with(code))] == [
        "40001",
        "40P01",
    ]


def test_what_a_server_says_is_one_line_that_commands_no_terminal() -> None:
    said = str(explained(refused_with("53300", f"too \x1b]0;many\x07\n {'A' * 5_000}"), "u@db:5432/qts", "connect"))
    assert said.startswith(r"u@db:5432/qts: cannot connect: too \x1b]0;many\x07 AAA")
    assert said.isprintable()
    assert len(said) < 600
