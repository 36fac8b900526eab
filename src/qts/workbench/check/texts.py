"""The lines in which findings are told."""

from __future__ import annotations

import os
from collections.abc import Callable

from qts.workbench.check.comparison import Difference, changed_fields, intent_text
from qts.workbench.check.findings import Finding
from qts.workbench.check.outside import Outside
from qts.workbench.check.recorder import Said
from qts.workbench.check.source_scan import Written
from qts.workbench.check.watch import Seen

MomentText = Callable[[int], str]
_MENDS = {
    Outside.CLOCK: "use ctx.now",
    Outside.STOPWATCH: "let no decision depend on it",
    Outside.RANDOM: "keep a random.Random(7) of its own as an attribute",
    Outside.NETWORK: "a replay cannot repeat its answers; fetch them before, into a file named in files",
    Outside.FILE: "name it in the class, files = (...), so that it is part of the run",
    Outside.DATA: "it can see rows that have not come; keep what it needs of the rows that it was shown",
}


def difference_finding(
    difference: Difference, lead: str, other_run: str, moment: MomentText, whole_run: str = "in the whole run"
) -> Finding:
    """Return the finding for the first intent in which a run differs from the one that it is compared with.

    ``lead`` begins its line ("cut after …"); ``other_run`` and ``whole_run`` name the two.
    """
    at = difference.at
    changed = changed_fields(difference)
    intent, instead = _said_text(difference.whole, at), _said_text(difference.other, at)
    told = f"{intent or 'nothing'}; {other_run}: {instead or 'nothing'}"
    if changed:
        told = f"{intent}; {other_run}: {', '.join(changed)}"
    return Finding(
        text=f"{lead}: at {moment(at.ts_ns)} (row {at.row:,}) {whole_run} {told}",
        row=at.row,
        moment=moment(at.ts_ns),
        intent=intent,
        instead=instead,
    )


def _said_text(said: Said | None, at: Said) -> str:
    """Return what was said at the moment of the difference; "": nothing, or something later."""
    return intent_text(said.intent) if said is not None and said.ts_ns == at.ts_ns else ""


def seen_finding(seen: Seen, moment: MomentText) -> Finding:
    """Return the finding for a line that was seen reading something from outside while the strategy ran."""
    times = "" if seen.count == 1 else f" ({seen.count:,} times)"
    when = f", first at {moment(seen.ts_ns)}" if seen.ts_ns else ""
    place = f"{os.path.basename(seen.path)}:{seen.line}"
    return Finding(
        text=f"{place} reads {seen.kind.value}: {seen.name}{times}{when}; {_MENDS[seen.kind]}",
        fails=seen.kind is not Outside.STOPWATCH,
        moment=moment(seen.ts_ns) if seen.ts_ns else "",
        place=place,
    )


def written_finding(written: Written) -> Finding:
    """Return the finding for a line that reads something from outside and was not reached on this data."""
    place = f"{os.path.basename(written.path)}:{written.line}"
    what = f"{written.kind.value}: {written.name}"
    return Finding(
        text=f"{place} reads {what}, not reached on this data; {_MENDS[written.kind]}",
        fails=written.kind not in (Outside.STOPWATCH, Outside.FILE),
        place=place,
    )
