"""The JSON texts of the KIS websocket: commands that register, their answers, and PINGPONG."""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from qts.broker.kis.credentials import Secret

PINGPONG: Final = "PINGPONG"
SUBSCRIBE: Final = "1"
UNSUBSCRIBE: Final = "2"

SUBSCRIBED: Final = "OPSP0000"
UNSUBSCRIBED: Final = "OPSP0001"
ALREADY_SUBSCRIBED: Final = "OPSP0002"
NOT_SUBSCRIBED: Final = "OPSP0003"
INTERNAL: Final = "OPSP0007"
TOO_MANY: Final = "OPSP0008"
SEND_FAILED: Final = "OPSP0009"
INVALID_APPROVAL: Final = "OPSP0011"
IN_USE: Final = "OPSP8996"


class Registration(NamedTuple):
    """The name of a stream: ``name`` is the id of its frames, ``key`` a symbol, or the HTS ID of notices."""

    name: str
    key: str


class _Header(msgspec.Struct, frozen=True):
    tr_id: str | None = None
    tr_key: str | None = None


class _Output(msgspec.Struct, frozen=True):
    iv: str = ""
    key: str = ""


class _Body(msgspec.Struct, frozen=True):
    rt_cd: str = ""
    msg_cd: str = ""
    msg1: str = ""
    output: _Output | None = None


class _Message(msgspec.Struct, frozen=True):
    header: _Header
    body: _Body | None = None


class Answer(NamedTuple):
    """An answer to a command. ``cipher``: key and iv of encrypted frames, where it names them."""

    name: str
    key: str
    code: str
    text: str
    cipher: tuple[str, str] | None

    @property
    def registration(self) -> Registration:
        """Return what it is about."""
        return Registration(self.name, self.key)


_decode: Final = msgspec.json.Decoder(_Message).decode


def command(approval: Secret, registration: Registration, tr_type: str) -> str:
    """Return the text of a command. It holds the approval key: it is sent, and shown nowhere."""
    message = {
        "header": {
            "approval_key": approval.reveal(),
            "custtype": "P",
            "tr_type": tr_type,
            "content-type": "utf-8",
        },
        "body": {"input": {"tr_id": registration.name, "tr_key": registration.key}},
    }
    return msgspec.json.encode(message).decode()


def read_control(text: str) -> Answer | None:
    """Return the answer in a JSON text; None for PINGPONG. Raises ValueError for anything else."""
    try:
        message = _decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError):
        raise ValueError("it is no message of KIS") from None
    if message.header.tr_id == PINGPONG:
        return None
    body = message.body
    if body is None or not body.msg_cd:
        raise ValueError("it has no code")
    output = body.output
    cipher = None if output is None or not (output.key and output.iv) else (output.key, output.iv)
    return Answer(message.header.tr_id or "", message.header.tr_key or "", body.msg_cd, body.msg1[:200], cipher)
