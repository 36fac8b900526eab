"""URLs of cache servers: what they mean, what is refused, and that no secret is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from qts.cache.access import Access, parse
from qts.errors import InputError

SECRET = "s3cr3t-Pa55"
NEAR = "redis://trader@127.0.0.1:6390/2"


def refusal(url: str, **environ: str) -> str:
    with pytest.raises(InputError) as caught:
        parse(url, environ)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_a_url_names_user_host_port_and_number() -> None:
    # When a whole URL is read
    access = parse(NEAR, {})
    # Then each of its parts is there, and a connection that stays on this machine needs no encryption
    assert access == Access(host="127.0.0.1", port=6390, number=2, user="trader", tls="disable")
    assert access.place == "trader@127.0.0.1:6390/2"


@pytest.mark.parametrize("url", ["redis://localhost", "valkey://localhost/", "redis://localhost:6379/0"])
def test_what_is_left_out_has_the_usual_value(url: str) -> None:
    assert parse(url, {}) == Access(host="localhost", port=6379, number=0, tls="disable")
    assert parse(url, {}).place == "localhost:6379/0"


def test_parts_are_decoded() -> None:
    access = parse("valkey://a%40b@[::1]/0", {})
    assert (access.user, access.host, access.place) == ("a@b", "::1", "a@b@[::1]:6379/0")


@pytest.mark.parametrize("scheme", ["redis", "rediss", "valkey", "valkeys"])
def test_another_machine_has_to_prove_who_it_is(scheme: str) -> None:
    access = parse(f"{scheme}://u@cache.example.com", {})
    assert (access.tls, access.notes) == ("verify-full", ())


@pytest.mark.parametrize("scheme", ["rediss", "valkeys"])
def test_a_scheme_that_asks_for_encryption_has_it_on_this_machine_too(scheme: str) -> None:
    assert parse(f"{scheme}://localhost", {}).tls == "verify-full"
    assert parse(f"{scheme}://localhost?tls=require", {}).tls == "require"


@pytest.mark.parametrize(("mode", "word"), [("disable", "not encrypted"), ("require", "not verified")])
def test_less_than_that_has_to_be_asked_for_and_is_told(mode: str, word: str) -> None:
    access = parse(f"redis://cache.example.com?tls={mode}", {})
    assert access.tls == mode
    (note,) = access.notes
    assert word in note
    assert f"tls={mode}" in note
    assert "cache.example.com" in note


def test_a_certificate_of_this_side_comes_with_its_key(tmp_path: Path) -> None:
    certificate, key = tmp_path / "me.crt", tmp_path / "me.key"
    certificate.touch()
    key.touch()
    access = parse(f"rediss://host?tlscert={certificate}&tlskey={key}", {})
    assert (access.certificate, access.key) == (str(certificate), str(key))
    assert "needs its key" in refusal(f"rediss://host?tlscert={certificate}")


@pytest.mark.parametrize(
    "url",
    [
        f"redis://:{SECRET}@host/0",
        f"redis://u:{SECRET}@host:1/0?tls=disable",
        f"redis://u:pa/{SECRET}@host/0",
        f"redis://u:pa?{SECRET}@host/0",
        f"redis://u:pa#{SECRET}@host/0",
        f"rediss://u:%zz{SECRET}@host/0",
        f"redis://u@host/0?password={SECRET}",
        f"redis://u@host/{SECRET}",
        f"u:{SECRET}@host/0",
    ],
)
def test_a_password_in_the_url_is_refused_and_not_shown(url: str) -> None:
    assert "Pa55" not in refusal(url)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://u@host/book", ("'postgresql'", "that of a database", "--db", "redis://user@host:port/0")),
        ("sqlite:///copies.sqlite", ("that of a database", "redis://")),
        ("http://host", ("'http'", "redis://")),
        ("host:6379", ("no known scheme", "redis://")),
        ("redis:///0", ("no host",)),
        ("redis://a,b/0", ("several hosts",)),
        ("redis://host:port/0", ("host or port",)),
        ("redis://host/zero", ("no number of a database",)),
        ("redis://host/-1", ("no number of a database",)),
        ("redis://host/9999999", ("no number of a database",)),
        ("redis://host/0#x", ("behind #",)),
        ("redis://ho%0Ast/0", ("control character",)),
        ("redis://ho\udcffst/0", ("no text in UTF-8",)),
        (f"{NEAR}?tls=on", ("tls", "'on'", "verify-full")),
        (f"{NEAR}?sslmode=disable", ("'sslmode'", "not known", "tlsrootcert")),
        (f"{NEAR}?tlsrootcert=/no/such.crt", ("/no/such.crt", "no file")),
        ("rediss://host?tls=disable", ("rediss://", "tls=disable")),
    ],
)
def test_a_url_that_means_nothing_is_refused_by_name(url: str, words: tuple[str, ...]) -> None:
    text = refusal(url)
    for word in words:
        assert word in text


def test_the_password_comes_from_the_environment_or_a_file_and_is_not_shown(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(f"{SECRET}\n")
    file.chmod(0o600)
    for environ in ({"QTS_CACHE_PASSWORD": SECRET}, {"QTS_CACHE_PASSWORD_FILE": str(file)}):
        access = parse(NEAR, environ)
        assert access.password == SECRET
        assert SECRET not in f"{access!r} {access} {[access]} {access.place}"


def test_a_password_that_others_may_read_and_two_of_them_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(SECRET)
    file.chmod(0o644)
    text = refusal(NEAR, QTS_CACHE_PASSWORD_FILE=str(file))
    assert f"chmod 600 {file}" in text
    assert SECRET not in text
    assert "both set" in refusal(NEAR, QTS_CACHE_PASSWORD=SECRET, QTS_CACHE_PASSWORD_FILE=str(file))
