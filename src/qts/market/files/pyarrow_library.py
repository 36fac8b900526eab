"""Loads pyarrow where a file needs it: the library is large, and an optional extra."""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple

from qts.errors import MissingExtraError


class PyArrow(NamedTuple):
    """The modules of pyarrow that read files."""

    base: Any
    compute: Any
    parquet: Any
    feather: Any


def pyarrow_for(feature: str) -> PyArrow:
    """Return pyarrow's modules. Raises MissingExtraError, which names ``feature``, where it is not installed."""
    try:
        modules = map(importlib.import_module, ("pyarrow", "pyarrow.compute", "pyarrow.parquet", "pyarrow.feather"))
        return PyArrow(*modules)
    except ImportError:
        raise MissingExtraError(feature, "parquet") from None
