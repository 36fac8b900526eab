"""The adapter of PostgreSQL, on real servers."""

import pytest

pytest.importorskip("asyncpg", reason="needs the extra postgres: pip install 'qts-runtime[postgres]'")
