"""Databases of these tests have the schema of books already, copied from one that was migrated once."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.servers import sql
from tests.servers.fixtures import VERSIONS, Database, MakeDatabase


@pytest.fixture
def database(
    request: pytest.FixtureRequest, new_database: MakeDatabase, book_template: Callable[[str], str]
) -> Iterator[Database]:
    """Give a database of this test; on PostgreSQL 18 unless the test asks for a version."""
    version = getattr(request, "param", VERSIONS[0])
    made, maintenance = new_database(version, book_template(version))
    yield made
    sql.execute(maintenance, f"DROP DATABASE {made.name} WITH (FORCE)")
