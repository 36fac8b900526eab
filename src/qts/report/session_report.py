"""The report at the end of a session: one HTML file that explains the run and needs nothing beside it.

It loads nothing and runs nothing (a content policy in the page makes the browser hold it to that), reads on a
phone, in light and dark, in English and Korean. The same facts give the same bytes.
"""

from __future__ import annotations

from pathlib import Path

from qts.report.chart_style import require_matplotlib
from qts.report.output_path import require_output_path, write_output
from qts.report.page import page
from qts.report.report_data import ReportData
from qts.runtime.session.result import SessionFacts
from qts.runtime.session.session_plan import Profile


def require_report_extra(profile: str = Profile.RULES.value) -> None:
    """Raise :class:`~qts.errors.MissingExtraError` when the charts cannot be drawn; call it before the work.

    Those of the plain ``profile`` need nothing.
    """
    if profile != Profile.PLAIN.value:
        require_matplotlib("the report with plots")


def write_report(facts: SessionFacts, path: Path) -> None:
    """Write the report of ``facts`` to ``path``: wholly or not at all.

    Raises :class:`~qts.errors.InputError` for a place where no file can be written,
    :class:`~qts.errors.MissingExtraError` without matplotlib where rules were in force, and
    :class:`~qts.errors.StorageError` when the file cannot be written.
    """
    require_output_path("the report", path)
    require_report_extra(facts.result.profile)
    write_output("the report", path, page(ReportData(facts)).encode())
