"""Who may call: application keys, tokens, approval keys."""

from __future__ import annotations

import random
import string
from dataclasses import dataclass
from datetime import timedelta

from qts.clock import NS_PER_S
from tests.doubles.kis.answers import Answer, Refused, gateway, sign_in
from tests.doubles.kis.clock import DoubleClock
from tests.doubles.kis.settings import Settings

APPKEY_LENGTH, APPSECRET_LENGTH = 36, 180
_LETTERS = string.ascii_letters + string.digits


@dataclass(frozen=True)
class Keys:
    """What a customer has: application key and secret, account (8 + 2 digits) and HTS id."""

    appkey: str
    appsecret: str
    account: str
    product: str
    hts_id: str
    is_paper: bool

    @classmethod
    def made(cls, chance: random.Random, *, is_paper: bool) -> Keys:
        """Make keys of the right lengths by chance."""
        text = "".join(chance.choices(_LETTERS, k=APPKEY_LENGTH + APPSECRET_LENGTH))
        prefix = "PS"
        appkey = prefix + text[: APPKEY_LENGTH - len(prefix)]
        account = f"{'5' if is_paper else '6'}{chance.randrange(10_000_000):07}"
        return cls(appkey, text[APPKEY_LENGTH:], account, "01", f"user{chance.randrange(1_000):03}", is_paper)


@dataclass
class Token:
    """A token that was given to an application key."""

    text: str
    appkey: str
    made_ns: int


class Access:
    """Tokens and approval keys of the customers that this host knows."""

    def __init__(
        self,
        clock: DoubleClock,
        settings: Settings,
        chance: random.Random,
        customers: list[Keys],
        *,
        is_paper: bool,
    ) -> None:
        self.customers = {keys.appkey: keys for keys in customers}
        self.tokens: dict[str, Token] = {}
        self.approvals: dict[str, Token] = {}
        self.issued = 0
        """How many tokens were given, also the same one again: each sends a message to the customer's telephone."""
        self._clock, self._settings, self._chance, self._is_paper = clock, settings, chance, is_paper
        self._asked: dict[str, int] = {}

    # -- the calls ---------------------------------------------------------------------------------------------

    def token(self, body: dict[str, str]) -> Answer:
        """Give a token: the one of the last hours again, or a new one; at most once a minute."""
        keys = self._signed(body, "appsecret")
        now = self._clock.time_ns()
        last = self._asked.get(keys.appkey)
        if last is not None and now - last < self._settings.token_spacing_s * NS_PER_S:
            raise sign_in("EGW00133")
        self._asked[keys.appkey] = now
        self.issued += 1
        token = self._newest(keys.appkey)
        if token is None or now - token.made_ns >= self._settings.same_token_s * NS_PER_S:
            token = Token(self._text(340), keys.appkey, now)
            self.tokens[token.text] = token
        life = self._settings.token_life_s
        left = life - (now - token.made_ns) // NS_PER_S
        ends = self._clock.kst + timedelta(seconds=left)
        return Answer(
            {
                "access_token": token.text,
                "access_token_token_expired": ends.strftime("%Y-%m-%d %H:%M:%S"),
                "token_type": "Bearer",
                "expires_in": left,
            }
        )

    def revoke(self, body: dict[str, str]) -> Answer:
        """Take a token back."""
        keys = self._signed(body, "appsecret")
        token = self.tokens.get(body.get("token", ""))
        if token is None or token.appkey != keys.appkey:
            raise sign_in("EGW00121")
        del self.tokens[token.text]
        return Answer({"code": 200, "message": "접근토큰 폐기에 성공하였습니다"})

    def approval(self, body: dict[str, str]) -> Answer:
        """Give a key for the websocket. The secret is called ``secretkey`` here."""
        keys = self._signed(body, "secretkey")
        text = "-".join(self._text(length).lower() for length in (8, 4, 4, 4, 12))
        self.approvals[text] = Token(text, keys.appkey, self._clock.time_ns())
        return Answer({"approval_key": text})

    def _signed(self, body: dict[str, str], secret: str) -> Keys:
        if body.get("grant_type") != "client_credentials":
            raise Refused(403, {"error_code": "EGW00101", "error_description": "유효하지 않은 grant_type입니다."})
        keys = self.customers.get(body.get("appkey", ""))
        if keys is None or (keys.is_paper != self._is_paper and not self._settings.other_keys_sign_in):
            raise sign_in("EGW00103")
        if body.get(secret) != keys.appsecret:
            raise sign_in("EGW00105")
        return keys

    def _newest(self, appkey: str) -> Token | None:
        found = [token for token in self.tokens.values() if token.appkey == appkey and not self._is_over(token)]
        return max(found, key=lambda token: token.made_ns, default=None)

    def _is_over(self, token: Token) -> bool:
        return self._clock.time_ns() - token.made_ns >= self._settings.token_life_s * NS_PER_S

    def _text(self, length: int) -> str:
        return "".join(self._chance.choices(_LETTERS, k=length))

    # -- the checks --------------------------------------------------------------------------------------------

    def check(self, headers: dict[str, str]) -> Keys:
        """Return whose call this is. Raises Refused."""
        kind, _, text = headers.get("authorization", "").partition(" ")
        if not text:
            raise gateway("EGW00122")
        token = self.tokens.get(text)
        if kind != "Bearer" or token is None:
            raise gateway("EGW00121")
        if self._is_over(token):
            raise gateway("EGW00123")
        keys = self.customers.get(headers.get("appkey", ""))
        if keys is None or keys.appkey != token.appkey:
            raise gateway("EGW00103", 403)
        if headers.get("appsecret") != keys.appsecret:
            raise gateway("EGW00105", 403)
        if keys.is_paper != self._is_paper:
            raise gateway("EGW02007" if self._is_paper else "EGW02004")
        return keys

    def customer_of(self, approval: str) -> Keys | None:
        """Return whose approval key this is; None for one that is unknown or over."""
        found = self.approvals.get(approval)
        if found is None or self._clock.time_ns() - found.made_ns >= self._settings.approval_life_s * NS_PER_S:
            return None
        return self.customers[found.appkey]

    def expire(self) -> None:
        """Let all tokens be over now, as when the machine that gave them was set back."""
        for token in self.tokens.values():
            token.made_ns -= self._settings.token_life_s * NS_PER_S

    def expire_approvals(self) -> None:
        """Let all approval keys be over now."""
        for one in self.approvals.values():
            one.made_ns -= self._settings.approval_life_s * NS_PER_S
