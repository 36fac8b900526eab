"""URLs of databases: what they mean, what is refused, and that no secret is shown."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from qts.db.access import Access, parse
from qts.errors import InputError

SECRET = "s3cr3t-Pa55"
NEAR = "postgresql://trader@127.0.0.1:6543/book"


def refusal(url: str, **environ: str) -> str:
    with pytest.raises(InputError) as caught:
        parse(url, environ)
    assert caught.value.exit_code == 2
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_a_url_names_user_host_port_and_database() -> None:
    # When a whole URL is read
    access = parse(NEAR, {})
    # Then each of its parts is there, and a connection that stays on this machine needs no encryption
    assert access == Access(host="127.0.0.1", port=6543, database="book", user="trader", tls="disable")
    assert access.place == "trader@127.0.0.1:6543/book"


def test_what_is_left_out_has_the_usual_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "kim")
    access = parse("postgres://localhost/book", {})
    assert (access.user, access.port) == ("kim", 5432)


def test_parts_are_decoded() -> None:
    access = parse("postgresql://a%40b@[::1]/my%20book", {})
    assert (access.user, access.host, access.database) == ("a@b", "::1", "my book")
    assert access.place == "a@b@[::1]:5432/my book"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "[::1]"])
def test_this_machine_is_reached_without_encryption(host: str) -> None:
    assert parse(f"postgresql://u@{host}/book", {}).tls == "disable"


@pytest.mark.parametrize("host", ["db.example.com", "10.0.0.5", "128.0.0.1", "[2001:db8::1]", "localhost.evil.org"])
def test_another_machine_has_to_prove_who_it_is(host: str) -> None:
    access = parse(f"postgresql://u@{host}/book", {})
    assert (access.tls, access.notes) == ("verify-full", ())


@pytest.mark.parametrize(("mode", "word"), [("disable", "not encrypted"), ("require", "not verified")])
def test_less_than_that_has_to_be_asked_for_and_is_told(mode: str, word: str) -> None:
    access = parse(f"postgresql://u@db.example.com/book?sslmode={mode}", {})
    assert access.tls == mode
    (note,) = access.notes
    assert word in note
    assert "db.example.com" in note


def test_a_local_socket_is_named_by_its_directory() -> None:
    access = parse("postgresql://u@/book?host=/run/postgresql", {})
    assert (access.host, access.tls) == ("/run/postgresql", "disable")


@pytest.mark.parametrize(("pooler", "pooled"), [("none", False), ("session", False), ("transaction", True)])
def test_a_pooler_is_named_by_how_it_pools(pooler: str, pooled: bool) -> None:
    assert parse(f"{NEAR}?pooler={pooler}", {}).pooled is pooled


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://u:{SECRET}@host/book",
        f"postgresql://u:{SECRET}@host:1/book?sslmode=disable",
        f"postgresql://u:pa/{SECRET}@host/book",
        f"postgresql://u:pa?{SECRET}@host/book",
        f"postgresql://u:pa#{SECRET}@host/book",
        f"postgresql://u:pa:{SECRET}@host/book",
        f"postgresql://u:pa@{SECRET}@host/book",
        f"postgresql://u:%zz{SECRET}@host/book",
        f"postgresql://u@host/book?password={SECRET}",
        f"postgresql://u@host/book?PASSWD={SECRET}",
        f"postgresql://u@host/book?sslpassword={SECRET}",
        f"postgresql://u:[{SECRET}@host/book",
        f"mysql://u:{SECRET}@host/book",
        f"u:{SECRET}@host/book",
        f"postgresql:u:{SECRET}@host/book",
        f"{SECRET}://u@host/book",
    ],
)
def test_a_password_in_the_url_is_refused_and_not_shown(url: str) -> None:
    # Given a URL that has a password somewhere, also where it was not encoded
    # When it is read, then it is refused, and no part of the password stands in the message
    text = refusal(url)
    assert "Pa55" not in text or url.startswith(SECRET), text


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("mysql://u@host/book", ("'mysql'", "postgresql://user@host:port/database")),
        ("redis://u@host/0", ("'redis'", "that of a cache", "--cache", "postgresql://")),
        ("book.sqlite", ("no known scheme", "postgresql://")),
        ("", ("no known scheme",)),
        ("postgresql://u@host", ("no database",)),
        ("postgresql://u@host/a/b", ("more than a database",)),
        ("postgresql:///book", ("no host",)),
        ("postgresql://a,b/book", ("several hosts",)),
        ("postgresql://u@host:port/book", ("host or port",)),
        ("postgresql://u@host:70000/book", ("host or port",)),
        ("postgresql://u@host/book#x", ("behind #",)),
        ("postgresql://u@host/bo%00ok", ("control character",)),
        ("postgresql://u@ho\udcffst/book", ("no text in UTF-8",)),
        (f"{NEAR}?sslmode=prefer", ("sslmode", "'prefer'", "verify-full")),
        (f"{NEAR}?timeout=5", ("'timeout'", "not known", "sslmode")),
        (f"{NEAR}?sslmode=disable&sslmode=require", ("'sslmode'", "twice")),
        (f"{NEAR}?host=/run", ("parameter host",)),
        ("postgresql:///book?host=run", ("absolute path",)),
        (f"{NEAR}?sslrootcert=/no/such.crt", ("/no/such.crt", "no file")),
        (f"{NEAR}?pooler=yes", ("'yes'", "transaction")),
    ],
)
def test_a_url_that_means_nothing_is_refused_by_name(url: str, words: tuple[str, ...]) -> None:
    text = refusal(url)
    for word in words:
        assert word in text


def test_the_password_comes_from_the_environment_and_is_not_shown() -> None:
    access = parse(NEAR, {"QTS_DB_PASSWORD": SECRET})
    assert access.password == SECRET
    assert SECRET not in repr(access)
    assert SECRET not in str([access])
    assert SECRET not in access.place


def test_the_password_comes_from_a_file_of_the_owner(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(f"{SECRET}\n")
    file.chmod(0o600)
    assert parse(NEAR, {"QTS_DB_PASSWORD_FILE": str(file)}).password == SECRET


def test_a_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(SECRET)
    file.chmod(0o640)
    text = refusal(NEAR, QTS_DB_PASSWORD_FILE=str(file))
    assert "0640" in text
    assert f"chmod 600 {file}" in text
    assert SECRET not in text


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    empty, fifo, binary = tmp_path / "empty", tmp_path / "fifo", tmp_path / "binary"
    empty.touch(mode=0o600)
    os.mkfifo(fifo, 0o600)
    binary.write_bytes(b"\xff\xfe")
    binary.chmod(0o600)
    for file, word in ((empty, "empty"), (fifo, "regular"), (binary, "no text"), (tmp_path / "gone", "No such")):
        assert word in refusal(NEAR, QTS_DB_PASSWORD_FILE=str(file))


def test_two_passwords_are_refused() -> None:
    assert "both set" in refusal(NEAR, QTS_DB_PASSWORD=SECRET, QTS_DB_PASSWORD_FILE="/x")
