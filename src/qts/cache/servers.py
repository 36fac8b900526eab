"""Makes the client of the cache server that a URL names.

It is the one place that imports the driver of cache servers, and only when a client is made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from qts.cache.access import parse
from qts.cache.contracts import CacheClient
from qts.errors import MissingExtraError


def opener_of(url: str, environ: Mapping[str, str], *, writes: bool = True) -> Callable[[], CacheClient]:
    """Return what makes the client for a URL, which is then opened on a loop; nothing is imported before that.

    ``writes`` False: it will only read, so that a replica and a user without the right to write will do. Raises
    InputError for a URL that cannot be used. Making the client raises MissingExtraError without its driver.
    """
    access = parse(url, environ)

    def make() -> CacheClient:
        """Make the client of the server."""
        require_driver()
        from qts.cache.redis_cache import RedisCache
        from qts.cache.server.limits import Limits

        # What only reads is a command that is done after a question or two.
        return RedisCache(access, limits=Limits() if writes else Limits(least=1), writes=writes)

    return make


def require_driver() -> None:
    """Raise MissingExtraError without the driver of cache servers."""
    try:
        import hiredis  # noqa: F401
        import redis  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name not in ("hiredis", "redis"):
            raise
        raise MissingExtraError("a cache server", "redis") from None
