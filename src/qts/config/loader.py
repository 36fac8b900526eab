"""Files, ``--set`` and the environment become one checked configuration, or one error that names everything.

Where the files are looked for: the directory given, else ``$QTS_CONFIG``, else ``./config`` when it exists, else
nowhere: the defaults in the code are a complete configuration.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final, cast

import msgspec

from qts.config.bind import INVALID, Binder, override
from qts.config.document import Document, Node, Place, Problem, Section, did_you_mean, parse_value, read_document
from qts.config.leaves import config_hash, leaves
from qts.config.tree import QTS, Layout, QtsConfig
from qts.errors import ConfigError
from qts.wording import counted

ENV_DIRECTORY: Final = "QTS_CONFIG"
DEFAULT_DIRECTORY: Final = Path("config")
SET: Final = "--set"
DEFAULT: Final = "default"


class Row(msgspec.Struct, frozen=True):
    """One setting for people: what it is, where its value comes from, what may be written.

    ``reload``: whether it may change while a session runs. ``looser``: for a limit, the direction in which more may
    pass, "higher" or "lower", of a list "fewer" entries.
    """

    path: str
    value: str
    source: str
    description: str
    allowed: str
    reload: bool
    secret: bool
    display: bool
    looser: str = ""

    @property
    def permitted(self) -> str:
        """Return what may be written, and whether it may change while a session runs, in words."""
        how = f"reloadable, {self.looser} once confirmed" if self.looser else "reloadable"
        return f"{self.allowed}, {how}" if self.reload else self.allowed


class LoadedConfig(msgspec.Struct, frozen=True):
    """A valid configuration and where each of its values came from.

    ``hash`` is the SHA-256 (hex) of all values but secrets and settings of display: two files that mean the same
    have the same one.
    """

    tree: QtsConfig
    hash: str
    directory: Path | None = None
    places: Mapping[str, Place] = {}
    documents: Mapping[str, Document] = {}
    layout: Layout = QTS

    def __repr__(self) -> str:
        return f"LoadedConfig(hash={self.hash[:12]}…, directory={str(self.directory)!r})"

    def source_of(self, dotted: str) -> str:
        """Return ``default``, ``file:line``, ``--set`` or ``env NAME``.

        Raises ConfigError for a path that is no setting.
        """
        rows = [leaf.path for leaf in leaves(self.layout.shape, self.tree)]
        if dotted not in rows:
            raise ConfigError(f"there is no setting {dotted!r}{did_you_mean(dotted, rows)}")
        return self._source(dotted)

    def as_rows(self) -> list[Row]:
        """Return every setting in the order of the files; secrets are masked."""
        return [
            Row(
                path=leaf.path,
                value=leaf.text,
                source=self._source(leaf.path),
                description=leaf.shape.description,
                allowed=leaf.shape.allowed(),
                reload=self.layout.may_change(leaf.path),
                secret=leaf.shape.secret,
                display=leaf.shape.display,
                looser=leaf.shape.looser,
            )
            for leaf in leaves(self.layout.shape, self.tree)
        ]

    def _source(self, dotted: str) -> str:
        place = self.places.get(dotted)
        return str(place) if place is not None else DEFAULT


def load_config(
    directory: Path | None, overrides: Mapping[str, str], env: Mapping[str, str], layout: Layout = QTS
) -> LoadedConfig:
    """Return the configuration of ``directory`` (see the module for None) with ``overrides`` (dotted key → YAML
    text).

    ``env`` is the process environment: secrets and ``QTS_CONFIG`` are read from it.
    Raises :class:`~qts.errors.ConfigError` that lists every problem with its place, the value and what is allowed.
    """
    loaded = examine(directory, overrides, env, layout)
    if isinstance(loaded, LoadedConfig):
        return loaded
    raise ConfigError(problem_text(loaded))


def examine(
    directory: Path | None, overrides: Mapping[str, str], env: Mapping[str, str], layout: Layout = QTS
) -> LoadedConfig | list[Problem]:
    """Load as :func:`load_config` does, but return the problems as a list instead of raising them."""
    where, problems = find_directory(directory, env)
    documents, unusable = _read_all(where, layout)
    problems += unusable
    binder = Binder(env)
    roots: dict[str, Section | None] = {name: document.root for name, document in documents.items()}
    problems += _apply_overrides(roots, overrides, layout)
    tree = _bind_sections(roots, binder, layout)
    problems += binder.problems
    if tree is None or problems:
        return sorted(set(problems))
    return LoadedConfig(
        tree=cast(QtsConfig, tree),
        hash=config_hash(layout.shape, tree),
        directory=where,
        places=binder.places,
        documents=documents,
        layout=layout,
    )


def tree_of(settings: Mapping[str, str], layout: Layout = QTS) -> QtsConfig:
    """Return the defaults with ``settings`` (dotted key → text, as :meth:`LoadedConfig.as_rows` gives it) in place.

    No file and no environment is read. Raises :class:`~qts.errors.ConfigError` for what cannot be a setting.
    """
    binder = Binder({})
    roots: dict[str, Section | None] = {}
    problems = _apply_overrides(roots, settings, layout)
    tree = _bind_sections(roots, binder, layout)
    problems += binder.problems
    if tree is None or problems:
        raise ConfigError(problem_text(sorted(set(problems))))
    return cast(QtsConfig, tree)


def find_directory(directory: Path | None, env: Mapping[str, str]) -> tuple[Path | None, list[Problem]]:
    """Return where the files are (None: nowhere, use the defaults), and what is wrong with a named place."""
    named = directory or (Path(env[ENV_DIRECTORY]) if env.get(ENV_DIRECTORY) else None)
    if named is None:
        return (DEFAULT_DIRECTORY if DEFAULT_DIRECTORY.is_dir() else None), []
    who = "--config" if directory else f"${ENV_DIRECTORY}"
    if named.is_dir():
        if _holds_other_files_only(named):
            return None, [Problem(str(named), 0, "", f"{who} names a directory without a YAML file")]
        return named, []
    what = "is a file, not a directory" if named.exists() else "does not exist"
    return None, [Problem(str(named), 0, "", f"{what}; {who} names the directory that holds the YAML files")]


def _holds_other_files_only(directory: Path) -> bool:
    """Return whether a directory has files and no YAML file among them: the name was probably mistyped."""
    try:
        names = os.listdir(directory)
    except OSError:
        return False  # reported when it is read
    return bool(names) and not any(name.endswith((".yaml", ".yml")) for name in names)


def problem_text(problems: list[Problem]) -> str:
    """Return all problems as one message, a line each."""
    count = counted(len(problems), "problem")
    return "\n  ".join([f"{count} in the configuration:", *map(str, problems)])


def cross_check(name: str, section: object, binder: Binder) -> list[Problem]:
    """Return the impossible combinations in a section, with the place of the value that is to change."""
    check = getattr(section, "problems", None)
    found = []
    for inner, message in check() if check is not None else ():
        path = f"{name}.{inner}" if inner else name
        place = binder.place_near(path) or Place(DEFAULT)
        found.append(Problem(place.source, place.line, path, message))
    return found


def _read_all(directory: Path | None, layout: Layout) -> tuple[dict[str, Document], list[Problem]]:
    documents: dict[str, Document] = {}
    problems: list[Problem] = []
    if directory is None:
        return documents, problems
    try:
        found = sorted(path for path in directory.iterdir() if not path.name.startswith("."))
    except OSError as error:
        return documents, [Problem(str(directory), 0, "", f"cannot be listed: {error.strerror}")]
    known = [f"{name}.yaml" for name in layout.sections]
    for path in found:
        if path.name in known:
            documents[path.stem] = document = read_document(path)
            problems += document.problems
        elif path.suffix in (".yaml", ".yml"):
            hint = did_you_mean(path.name, known)
            message = f"is no configuration file of QTS{hint}; known are: {', '.join(known)}"
            problems.append(Problem(str(path), 0, "", message))
    return documents, problems


def _apply_overrides(
    roots: dict[str, Section | None], overrides: Mapping[str, str], layout: Layout
) -> list[Problem]:
    problems: list[Problem] = []
    for dotted, text in overrides.items():
        section, _, inner = dotted.partition(".")
        if message := _naming_problem(section, inner, layout):
            problems.append(Problem(SET, 0, dotted, message))
            continue
        node, wrong = parse_value(text, Place(SET))
        problems += [msgspec.structs.replace(problem, field=dotted) for problem in wrong]
        if node is not None and not wrong:
            problems += _override_one(roots, section, inner, node, layout)
    return problems


def _naming_problem(section: str, inner: str, layout: Layout) -> str:
    if section not in layout.sections:
        hint = did_you_mean(section, layout.sections)
        return f"no such setting{hint}; it starts with one of: {', '.join(layout.sections)}, and a dot"
    return "" if inner else f"is a group of settings; name the one that is meant: {section}.KEY"


def _override_one(
    roots: dict[str, Section | None], section: str, inner: str, node: Node, layout: Layout
) -> list[Problem]:
    field = layout.shape.field(section)
    assert field is not None
    changed = override(roots.get(section), field.shape, inner.split("."), node)
    if isinstance(changed, str):
        return [Problem(SET, 0, f"{section}.{inner}", changed)]
    roots[section] = changed
    return []


def _bind_sections(roots: Mapping[str, Section | None], binder: Binder, layout: Layout) -> object | None:
    """Return the tree, or None when a value could not be made; problems are with the binder."""
    defaults = layout.root()
    values = {}
    for field in layout.shape.fields:
        default = getattr(defaults, field.name)
        root = roots.get(field.name)
        value = default if root is None else binder.bind(field.shape, root, default, field.name)
        if value is not INVALID:
            binder.problems += cross_check(field.name, value, binder)
        values[field.name] = value
    return None if any(value is INVALID for value in values.values()) else layout.root(**values)
