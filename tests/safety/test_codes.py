"""The code catalogue: complete, and each code leads where it must."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from qts import safety
from qts.errors import ContractError
from qts.safety.codes import CATALOGUE, catalogue_rows, lookup
from qts.safety.contracts import CodeKind, SafetyState

SPECIFIED = """
    FS001 FS010 FS020 FS030 FS040 FS041 FS042 FS050 FS060 FS070
    FS080 FS081 FS082 FS083 FS084 FS085 FS090 FS091 FS092 FS093 FS094 FS095 FS096 FS097 FS098
    FS100 FS101 FS102 FS103 FS104 FS105
    GR001 GR010 GR020 GR030 GR040 GR050 GR051 GR052 GR053 GR054 GR055
    GR060 GR061 GR062 GR063 GR064 GR070 GR071 GR072 GR073 GR074 GR080 GR081 GR082 GR090
    AN001 AN010 AN020 AN030 AN040 AN050
""".split()  # noqa: SIM905 - one line for each family
OURS = [
    "FS043",  # order after order is rejected
    "FS071",  # stored history was altered
    "FS061",  # the loop made no progress: what the watchdog raises
    "FS062",  # an operator's command may not be received
    "FS051",  # exposure above 1.2 × its limit: a fail-safe without a number
    "FS052",  # loss of the day beyond its limit: likewise
    "AN060",  # a halted strategy
    "AN061",  # a strategy that a limit has stopped
]


def test_the_catalogue_holds_exactly_these_codes() -> None:
    assert sorted(CATALOGUE) == sorted(SPECIFIED + OURS)


def test_every_code_the_program_raises_is_in_the_catalogue() -> None:
    source = Path(safety.__file__).parents[1]
    raised = {
        code for path in source.rglob("*.py") for code in re.findall(r'"([A-Z]{2}\d{3})"', path.read_text("utf-8"))
    }

    assert len(raised) > 50
    assert raised <= CATALOGUE.keys()


@pytest.mark.parametrize("code", SPECIFIED + OURS)
def test_every_entry_says_everything(code: str) -> None:
    entry = CATALOGUE[code]
    assert entry.code == code
    assert entry.known
    assert all((entry.meaning, entry.action, entry.clears, entry.recovery))


def test_the_targets_follow_the_prefix_but_for_the_named_exceptions() -> None:
    exceptions = {
        "FS040": SafetyState.WARNING,  # the first two only warn
        "FS042": SafetyState.WARNING,
        "FS102": SafetyState.WARNING,
        "FS103": SafetyState.WARNING,
        "FS105": SafetyState.WARNING,
        "FS080": SafetyState.LOCKDOWN,
        "FS104": SafetyState.LOCKDOWN,
    }
    for code, entry in CATALOGUE.items():
        by_prefix = SafetyState.FAIL if code.startswith("FS") else SafetyState.WARNING
        assert entry.target is exceptions.get(code, by_prefix), code


@pytest.mark.parametrize(
    ("code", "kind", "target"),
    [
        ("FS999", CodeKind.FAIL_SAFE, SafetyState.FAIL),
        ("GR999", CodeKind.GUARDRAIL, SafetyState.WARNING),
        ("AN999", CodeKind.ANOMALY, SafetyState.WARNING),
        ("gr7", CodeKind.GUARDRAIL, SafetyState.WARNING),
        ("WHAT", CodeKind.FAIL_SAFE, SafetyState.FAIL),  # an unreadable prefix is not a harmless one
    ],
)
def test_an_unlisted_code_is_judged_by_its_prefix(code: str, kind: CodeKind, target: SafetyState) -> None:
    entry = lookup(code)
    assert (entry.code, entry.kind, entry.target, entry.known) == (code, kind, target, False)
    assert (
        entry.meaning
        == {
            CodeKind.FAIL_SAFE: "unlisted fail-safe",
            CodeKind.GUARDRAIL: "unlisted guardrail",
            CodeKind.ANOMALY: "unlisted anomaly",
        }[kind]
    )
    # It does what the listed ones of its target do.
    like = CATALOGUE["FS010" if target is SafetyState.FAIL else "GR020"]
    assert (entry.action, entry.clears, entry.recovery) == (like.action, like.clears, like.recovery)


def test_a_code_has_up_to_64_characters() -> None:
    assert lookup("F" * 64).target is SafetyState.FAIL


@pytest.mark.parametrize("code", ["", "   ", None, 7, "F" * 65])
def test_what_is_no_code_at_all_is_an_error_that_shows_it(code: object) -> None:
    with pytest.raises(ContractError, match="a safety code is a text"):
        lookup(code)  # type: ignore[arg-type]


def test_the_reference_rows_have_one_line_per_code() -> None:
    rows = catalogue_rows()
    assert [row[0] for row in rows] == list(CATALOGUE)
    assert all(len(row) == 7 and all(row) for row in rows)
