"""Parts that the URLs of all servers share: passwords that are not in them, parameters, and encryption.

A URL names no password: other users of the machine would see it in the list of processes, and shells keep it. It
comes from a variable of the environment or from a file that is its owner's alone. No message shows one.
"""

from __future__ import annotations

import getpass
import ipaddress
import os
import re
import ssl
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal, TypeAlias, TypeVar
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import msgspec

from qts.errors import InputError

_T = TypeVar("_T")
Tls: TypeAlias = Literal["disable", "require", "verify-ca", "verify-full"]
"""Encryption: none; without a look at who answers; by a certificate of a known authority; and for this host."""
TLS: Final[dict[str, Tls]] = {
    "disable": "disable",
    "require": "require",
    "verify-ca": "verify-ca",
    "verify-full": "verify-full",
}
_SECRET: Final = re.compile(r"pass|pwd|secret|token", re.IGNORECASE)
_PLAIN: Final = re.compile(r"[a-z][a-z0-9_+.-]{0,40}", re.IGNORECASE)
"""Text that is short and plain enough to be shown: a scheme or the name of a parameter."""
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")
"""Bytes of an argument that are no UTF-8 come as these."""
_OTHERS_MAY_READ: Final = 0o077


class UrlKind(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of server: what its URLs are called and look like, and where their password comes from.

    ``form``: an example of a URL; ``forms``: all that is allowed. ``password`` and ``password_file``: names of
    variables of the environment; ``elsewhere``: more places for a password, in the words that follow those two.
    ``others``: what to say of a scheme that is another kind's, by scheme.
    """

    name: str
    schemes: tuple[str, ...]
    form: str
    forms: str
    parameters: tuple[str, ...]
    password: str
    password_file: str
    elsewhere: str = ""
    others: Mapping[str, str] = {}


def split_url(url: str, kind: UrlKind) -> SplitResult:
    """Return the parts of a URL; its scheme and port are allowed ones, and it has no password.

    Raises InputError, which shows no part of the URL that may be a secret.
    """
    scheme, mark, _ = url.partition("://")
    if not mark or scheme.lower() not in kind.schemes:
        found = f"its scheme is {scheme!r}" if mark and _PLAIN.fullmatch(scheme) else "it has no known scheme"
        found += f", {kind.others[scheme.lower()]}" if mark and scheme.lower() in kind.others else ""
        raise InputError(f"the {kind.name} URL cannot be used: {found}; allowed are {kind.forms}")
    try:
        split = urlsplit(url)
        _ = split.port
    except ValueError:
        # Not shown: what stands where the port should be may be the end of a password.
        raise InputError(
            f"the {kind.name} URL cannot be read: its host or port is not one; allowed is {kind.form}, with "
            "characters other than letters, digits and -._~ written as %xx"
        ) from None
    if split.password is not None:
        raise InputError(
            f"the {kind.name} URL has a password, which other users of this machine could read; take it out, and "
            f"give it in the environment variable {_places(kind)}"
        )
    if split.fragment or "#" in url:
        raise InputError(f"the {kind.name} URL has a part behind #, which means nothing; allowed is {kind.form}")
    if _CONTROL.search(unquote(url)):
        raise InputError(f"the {kind.name} URL has a control character; allowed is {kind.form}")
    if _SURROGATE.search(url):
        raise InputError(f"the {kind.name} URL has bytes that are no text in UTF-8; allowed is {kind.form}")
    return split


def parameters_of(split: SplitResult, kind: UrlKind) -> dict[str, str]:
    """Return the parameters of a URL by name.

    Raises InputError for one that is not known, comes twice, or may be a password.
    """
    found: dict[str, str] = {}
    for name, value in parse_qsl(split.query, keep_blank_values=True):
        if _SECRET.search(name):
            raise InputError(
                f"the {kind.name} URL has a password in a parameter; take it out, and give it in {_places(kind)}"
            )
        if name not in kind.parameters or name in found:
            shown = f"{name!r}" if _PLAIN.fullmatch(name) else "of no known name"
            raise InputError(
                f"the {kind.name} URL has a parameter {shown} {'twice' if name in found else 'that is not known'}; "
                f"allowed are {', '.join(kind.parameters)}, each once"
            )
        found[name] = value
    return found


def host_of(split: SplitResult, kind: UrlKind) -> str:
    """Return the one host of a URL. Raises InputError."""
    host = unquote(split.hostname or "")
    if not host or "," in host or host.startswith("/"):
        found = "several hosts" if "," in host else "no host"
        raise InputError(f"the {kind.name} URL names {found}; give {kind.form}")
    return host


def this_user(kind: UrlKind) -> str:
    """Return the name of the user of this process. Raises InputError where there is none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        raise InputError(
            f"the {kind.name} URL names no user, and this process has no name; give {kind.form}"
        ) from None


def is_near(host: str) -> bool:
    """Return whether the host, or directory of a socket, is this machine, so that no other one can listen."""
    if host.startswith("/") or host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_safe(url: str) -> bool:
    """Return whether what is sent to ``url`` is read by no one on the way: it is encrypted, or stays here."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    host = parts.hostname or ""
    plain = not (parts.username or parts.password or parts.query or parts.fragment)
    return bool(host) and plain and (parts.scheme == "https" or (parts.scheme == "http" and is_near(host)))


def shown_host(host: str) -> str:
    """Return a host as it stands before a colon and a port."""
    return f"[{host}]" if ":" in host else host


def choice(given: Mapping[str, str], name: str, allowed: Mapping[str, _T], default: _T, kind: UrlKind) -> _T:
    """Return what the word of a parameter means. Raises InputError for another word."""
    text = given.get(name)
    if text is None:
        return default
    if text not in allowed:
        raise InputError(
            f"the parameter {name} of the {kind.name} URL is {text!r}; allowed are {', '.join(allowed)}"
        )
    return allowed[text]


def file_of(given: Mapping[str, str], name: str, kind: UrlKind) -> str:
    """Return the path that a parameter names, "" without it. Raises InputError if there is no such file."""
    path = given.get(name, "")
    if path and not Path(path).is_file():
        raise InputError(f"the parameter {name} of the {kind.name} URL names {path}, which is no file")
    return path


def tls_notes(host: str, tls: Tls, parameter: str) -> tuple[str, ...]:
    """Return what a person has to be told about the encryption of a connection to another machine."""
    to = f"the connection to {host}"
    if tls == "disable":
        return (f"{to} is not encrypted ({parameter}=disable): others can read and change what goes over it",)
    if tls == "require":
        return (
            f"{to} is encrypted, but who answers is not verified ({parameter}=require): give "
            f"{parameter}=verify-full",
        )
    return ()


def tls_context(tls: Tls, root_certificate: str, parameter: str) -> ssl.SSLContext | None:
    """Return how a connection is encrypted, None for not at all.

    ``root_certificate``: the file with the authorities that are believed, named by ``parameter``; "" for those of
    the system. Raises InputError for a file without certificates.
    """
    if tls == "disable":
        return None
    try:
        context = ssl.create_default_context(cafile=root_certificate or None)
    except (OSError, ssl.SSLError) as error:
        raise InputError(f"{parameter} names {root_certificate}, which holds no certificates ({error})") from None
    if tls != "verify-full":
        context.check_hostname = False
    if tls == "require":
        context.verify_mode = ssl.CERT_NONE
    return context


def password_of(environ: Mapping[str, str], kind: UrlKind) -> str:
    """Return the password that the environment gives, "" for none.

    Raises InputError for two of them, and for a file that is not its owner's alone.
    """
    password, file = environ.get(kind.password, ""), environ.get(kind.password_file, "")
    if password and file:
        raise InputError(f"{kind.password} and {kind.password_file} are both set; set one of them")
    return private_text(Path(file), kind.password_file, "the password") if file else password


def private_text(path: Path, variable: str, content: str, most: int = 4_096) -> str:
    """Return the text of a file that is its owner's alone, without the ends of lines behind it.

    Raises InputError, which names the ``variable`` that names the file, the ``content`` that it should have and
    nothing that is in it: for no regular file, one that others may use, an empty one, and one that is no text or
    longer than ``most`` bytes.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(handle, "rb") as file:
            found = os.fstat(handle)
            if not stat.S_ISREG(found.st_mode):
                raise InputError(f"{variable} names {path}, which is no regular file")
            if found.st_mode & _OTHERS_MAY_READ:
                raise InputError(
                    f"{variable} names {path}, which others than its owner may use (mode "
                    f"{stat.S_IMODE(found.st_mode):04o}); allow it to its owner alone: chmod 600 {path}"
                )
            data = file.read(most + 1)
            if len(data) > most:
                raise InputError(f"{variable} names {path}, which is longer than {most} bytes; it holds {content}")
            text = data.decode().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise InputError(f"{variable} names {path}, which cannot be read: {reason}") from None
    if not text:
        raise InputError(f"{variable} names {path}, which is empty; write {content} into it")
    return text


def _places(kind: UrlKind) -> str:
    if kind.elsewhere:
        return f"{kind.password}, in a file named by {kind.password_file}, or {kind.elsewhere}"
    return f"{kind.password}, or in a file named by {kind.password_file}"
