"""The cipher of notices of fills: AES-256-CBC with PKCS7 padding, in base64."""

from __future__ import annotations

import binascii

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

_BLOCK: int = 16
_KEY_LENGTH: int = 32


class NoticeCipher:
    """The cipher of one connection. Raises ValueError for a key or an iv of another length; shows neither."""

    def __init__(self, key: str, iv: str) -> None:
        if len(key.encode()) != _KEY_LENGTH or len(iv.encode()) != _BLOCK:
            raise ValueError("the key of notices has another length than 32, or its iv than 16")
        self._cipher = Cipher(algorithms.AES(key.encode()), modes.CBC(iv.encode()))

    def decrypt(self, text: str) -> str:
        """Return the plain text. Raises ValueError for what is no base64, no whole blocks or has a wrong padding.

        Signs of another encoding, as in names, are replaced.
        """
        try:
            data = binascii.a2b_base64(text.encode("ascii"), strict_mode=True)
        except (binascii.Error, UnicodeEncodeError):
            raise ValueError("it is no base64") from None
        if not data or len(data) % _BLOCK:
            raise ValueError(f"it has {len(data)} bytes, which are no whole blocks")
        decryptor, unpadder = self._cipher.decryptor(), PKCS7(_BLOCK * 8).unpadder()
        padded = decryptor.update(data) + decryptor.finalize()
        try:
            plain = unpadder.update(padded) + unpadder.finalize()
        except ValueError:
            raise ValueError("its padding is wrong") from None
        return plain.decode("utf-8", "replace")

    def __repr__(self) -> str:
        return "NoticeCipher(***)"
