"""Finds the cache that a session is made known in, from the options and the environment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from qts.runtime.drivers.standard_output import say
from qts.runtime.session.session_plan import Options

if TYPE_CHECKING:
    from qts.runtime.caching.publisher import OpenCache

URL: Final = "QTS_CACHE_URL"
"""The variable of the environment; :mod:`qts.cache.access` has it too, and is not imported without a cache."""


def cache_of(options: Options, environ: Mapping[str, str]) -> OpenCache | None:
    """Return what makes the client of the cache that is given; None for none, and nothing of it is imported then.

    What a person has to know of the way to it is told. Raises InputError for a URL that cannot be used. The
    server's driver is imported when the client is made.
    """
    url = options.cache or environ.get(URL, "")
    if not url:
        return None
    from qts.cache.access import parse
    from qts.cache.servers import opener_of

    for note in parse(url, environ).notes:
        say(note)
    return opener_of(url, environ)
