"""The one line on top of the report: anything that the reader must know first."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from qts.report.report_data import Check, ReportData, Status


class Verdict(msgspec.Struct, frozen=True):
    """Palette colour, title and text, the latter two in English and Korean."""

    look: str
    title: tuple[str, str]
    text: tuple[str, str]


def verdict_of(data: ReportData) -> Verdict:
    """Return the worst that is known; nothing is called good that was not checked."""
    broken = [row for row in data.invariants if row.status is Status.BROKEN]
    held = [row for row in data.invariants if row.status is Status.HELD]
    unlooked = len(data.invariants) - len(held) - len(broken)
    wrong = [check for check in data.checks if check.status is Status.BROKEN]
    lost = data.values.lost_p0
    if broken or wrong or lost:
        return _alarm([f"{row.number:02d}" for row in broken], wrong, lost)
    if not data.values.finished:
        return Verdict(
            "warn",
            ("Stopped before the end.", "종료 전에 중단되었습니다."),
            ("Continue it with --resume. ", "--resume으로 이어서 실행할 수 있습니다. "),
        )
    if not held:
        return Verdict(
            "faint",
            ("Nothing was checked.", "점검한 항목이 없습니다."),
            ("No statement can be made.", "판단할 근거가 없습니다."),
        )
    checks = sum(row.checks for row in held)
    return Verdict(
        "good",
        ("Everything that was checked held.", "점검 항목을 모두 통과했습니다."),
        (
            f"{len(held)} invariants in {checks:,} checks; {unlooked} of {len(data.invariants)} were not checked "
            "in this session.",
            f"무결성 점검(불변식) {len(held)}개 항목을 {checks:,}회 점검했고, {len(data.invariants)}개 중 "
            f"{unlooked}개는 이 세션에서 점검하지 않았습니다.",
        ),
    )


def _alarm(broken: Sequence[str], wrong: Sequence[Check], lost: int) -> Verdict:
    english, korean = [], []
    if broken:
        english.append(f"Invariants broken: {', '.join(broken)}.")
        korean.append(f"위반된 무결성 점검(불변식): {', '.join(broken)}.")
    if wrong:
        english.append(f"Sums that do not agree: {'; '.join(check.name for check in wrong)}.")
        korean.append(f"일치하지 않는 합계: {'; '.join(check.name_ko for check in wrong)}.")
    if lost:
        english.append(f"{lost:,} critical {'event was' if lost == 1 else 'events were'} lost.")
        korean.append(f"긴급 이벤트 {lost:,}건이 유실되었습니다.")
    title = ("Something that must always hold does not.", "항상 성립해야 하는 조건이 깨졌습니다.")
    return Verdict("bad", title, (" ".join(english), " ".join(korean)))
