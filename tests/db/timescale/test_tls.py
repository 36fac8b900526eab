"""A server on another machine proves who it is: a real one, with a certificate that no authority has signed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from qts.errors import InputError
from tests.db.timescale.adapters import adapter_at
from tests.servers.postgres import Postgres
from tests.servers.process import ServerUnavailable

CONNECTED = "run qts db migrate"
"""What an adapter says when it could connect: the database is empty."""


@pytest.fixture(scope="module")
def encrypted(certificate: Path) -> Iterator[Postgres]:
    """A server that offers encryption: the one of the system, since that of the wheel is built without it."""
    settings = {
        "ssl": "on",
        "ssl_cert_file": str(certificate),
        "ssl_key_file": f"{certificate.with_suffix('.key')}",
    }
    try:
        server = Postgres("15", settings=settings)
    except ServerUnavailable as reason:
        pytest.skip(str(reason))
    with server:
        yield server


async def answer(url: str) -> str:
    adapter = adapter_at(url)
    with pytest.raises(InputError) as caught:
        await adapter.open()
    await adapter.close()
    return str(caught.value)


async def test_a_certificate_that_its_authority_vouches_for_is_believed(
    encrypted: Postgres, certificate: Path
) -> None:
    assert CONNECTED in await answer(f"{encrypted.url()}?sslmode=verify-full&sslrootcert={certificate}")


async def test_a_certificate_of_an_unknown_authority_is_refused(encrypted: Postgres) -> None:
    for mode in ("verify-full", "verify-ca"):
        text = await answer(f"{encrypted.url()}?sslmode={mode}")
        assert "certificate" in text
        assert "sslrootcert" in text
        assert CONNECTED not in text


async def test_a_certificate_for_another_host_is_refused_where_the_host_counts(
    encrypted: Postgres, certificate: Path
) -> None:
    by_name = encrypted.url().replace("127.0.0.1", "localhost")
    assert "localhost" in await answer(f"{by_name}?sslmode=verify-full&sslrootcert={certificate}")
    assert CONNECTED in await answer(f"{by_name}?sslmode=verify-ca&sslrootcert={certificate}")


async def test_encryption_alone_is_to_be_had_without_a_look_at_who_answers(encrypted: Postgres) -> None:
    assert CONNECTED in await answer(f"{encrypted.url()}?sslmode=require")


async def test_a_file_of_no_certificates_is_named(encrypted: Postgres, tmp_path: Path) -> None:
    empty = tmp_path / "empty.crt"
    empty.write_text("nothing\n")
    text = await answer(f"{encrypted.url()}?sslmode=verify-full&sslrootcert={empty}")
    assert f"{empty}, which holds no certificates" in text
