"""Keys of a cache: each is of one value, whatever the symbols, ids and accounts are called."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qts.cache.contracts import Kind
from qts.cache.keys import NAMELESS, Key, Keys, parse_key
from qts.errors import InputError

QTS = Keys("qts", "A1")
TEXTS = st.text(min_size=1, max_size=20) | st.text(":{}%*[]?\\ \n\x00/é한", min_size=1, max_size=8)
NAMED = st.sampled_from([kind for kind in Kind if kind not in NAMELESS])


def test_keys_are_these_texts() -> None:
    assert QTS.of(Kind.PRICE, "005930") == "qts:A1:price:{005930}"
    assert QTS.of(Kind.POSITION, "005930") == "qts:A1:pos:{005930}"
    assert QTS.of(Kind.BOOK, "005930") == "qts:A1:book:{005930}"
    assert QTS.of(Kind.ORDER, "1b2c-o-71") == "qts:A1:ord:{1b2c-o-71}"
    assert QTS.of(Kind.STRATEGY, "two_ema") == "qts:A1:strat:{two_ema}"
    assert QTS.of(Kind.RISK) == "qts:A1:risk"
    assert QTS.of(Kind.VIEW) == "qts:A1:view"
    assert QTS.lock_of(QTS.of(Kind.POSITION, "005930")) == "qts:A1:lock:pos:{005930}"
    assert QTS.trades_of("2026-11-30") == "qts:A1:trades:{2026-11-30}"
    assert (QTS.everything, QTS.own) == ("qts:", "qts:A1:")


def test_a_character_with_a_meaning_in_keys_or_patterns_is_encoded_as_in_a_url() -> None:
    assert QTS.of(Kind.PRICE, "BTC/USDT:{x}*") == "qts:A1:price:{BTC%2FUSDT%3A%7Bx%7D%2A}"
    assert QTS.of(Kind.PRICE, "삼성") == "qts:A1:price:{%EC%82%BC%EC%84%B1}"
    assert Keys("qts", "a:b").of(Kind.RISK) == "qts:a%3Ab:risk"


@given(account=TEXTS, kind=NAMED, name=TEXTS)
def test_a_key_is_parsed_to_what_it_was_made_of(account: str, kind: Kind, name: str) -> None:
    key = Keys("qts", account).of(kind, name)

    assert parse_key("qts", key) == Key(account, kind, name)
    assert key.count("{") == key.count("}") == 1
    assert key.isascii()
    assert not set(key) & set("*?[]\\ \n\x00")


@given(first=st.tuples(TEXTS, NAMED, TEXTS), second=st.tuples(TEXTS, NAMED, TEXTS))
def test_two_values_never_share_a_key(first: tuple[str, Kind, str], second: tuple[str, Kind, str]) -> None:
    keys = [Keys("qts", account).of(kind, name) for account, kind, name in (first, second)]

    assert (keys[0] == keys[1]) == (first == second)


@given(one=TEXTS, other=TEXTS)
def test_no_key_of_an_account_begins_as_those_of_another_one(one: str, other: str) -> None:
    assert Keys("qts", one).of(Kind.RISK).startswith(Keys("qts", other).own) == (one == other)


@given(text=st.text() | st.text(":{}%qtsA1pricev", max_size=30))
def test_a_text_that_no_maker_of_keys_made_is_no_key(text: str) -> None:
    key = parse_key("qts", text)

    assert key is None or Keys("qts", key.account).of(key.kind, key.name) == text


@pytest.mark.parametrize(
    "text",
    [
        "qts:A1:lock:pos:{005930}",
        "qts:A1:trades:{2026-11-30}",
        "qts:A1:book:{005930}:bid",
        "qts:A1:price:005930",
        "qts:A1:price:{}",
        "qts:A1:risk:{005930}",
        "qts:A1:risk:",
        "qts::risk",
        "other:A1:risk",
        "qts:A1:price:{%FF}",
        "qts:A1:price:{%30}",
        "",
    ],
)
def test_a_key_of_something_else_is_not_taken_for_one_of_a_value(text: str) -> None:
    assert parse_key("qts", text) is None


def test_a_name_that_no_key_can_hold_is_refused_by_its_kind() -> None:
    with pytest.raises(InputError, match="needs the name of the symbol, got ''"):
        QTS.of(Kind.PRICE, "")
    with pytest.raises(InputError, match="needs the name of the order, got ''"):
        QTS.of(Kind.ORDER, "")
    with pytest.raises(InputError, match="cannot hold the name of the strategy"):
        QTS.of(Kind.STRATEGY, "\ud800")
    with pytest.raises(InputError, match="'005930' names no risk"):
        QTS.of(Kind.RISK, "005930")
    with pytest.raises(InputError, match="the name of the account, got ''"):
        Keys("qts", "")
