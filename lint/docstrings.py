"""Checks that docstrings begin as the house writes them: a function's with a verb, a class's with what it is.

``python lint/docstrings.py [ROOT]`` reads every module below ROOT (``src``), names each docstring that begins
otherwise, and each public name of a public port without one; its exit status is 1 when there is any.

- The docstring of a function, method or property begins with a verb of :data:`VERBS` in the imperative ("Return
  the …"). A list of verbs can be checked where a grammar cannot, and it keeps out verbs that say less than another
  one ("Tell", "Say", "Give").
- The docstring of a module or a class may begin with a noun ("A queue of …"), never with a word of
  :data:`NO_BEGINNING`.
- Every public method of a Protocol has a docstring whose first sentence ends with a period. The other public names
  of the ports are checked by ruff (pydocstyle) in the files that ``pyproject.toml`` names.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

VERBS = frozenset(
    """
    abort accept acknowledge acquire add adjust admit adopt advance align allocate allow answer append apply
    approve arrange ask assert assign attach await begin bind block book bound bring buffer build cache
    calculate call cancel cap carry catch change check choose clamp clear close collapse collect combine commit
    compare complete compose compress compute confirm connect construct consume continue convert copy correct
    count cover create cut deactivate decide declare decode decrease defer define delay delete deliver derive
    describe detach detect determine disable discard disconnect dispatch display distribute divide do drain draw
    drive drop emit enable encode end enforce enqueue ensure enter escape estimate evaluate exclude execute
    expand expect expire explain export extend extract fail feed fetch fill filter find finish fire fit fix
    flush follow forbid force forget fork format forward free freeze gather generate get group grow guard halt
    handle hash hold host identify ignore implement import include increase index initialise insert inspect
    install interpret interrupt invert invoke issue iterate join judge keep lay leave let limit link list listen
    load locate lock log look lower make map mark mask match measure merge migrate move multiply name narrow
    normalise note notify number observe offer open order parse pass pause perform persist pick place plan plot
    point poll predict prefer prepare press prevent print process produce prove provide prune publish pull push
    put queue quote raise rank read rebuild recalculate receive recompute reconcile reconstruct record recover
    reduce refer refresh refund refuse register reject release reload remember remove rename render repeat
    replace replay report request require rescale reserve reset resolve restart restore restrict resume retry
    return revert rewind rewrite roll rotate round run sample save scale scan schedule seed select sell send
    separate serialise serve set shift show shrink signal simulate size skip sleep sort split start stay step
    stop store submit subtract sum summarise supply suspend switch sync take terminate test throw time trace
    track trade transfer transform translate treat trigger trim truncate try turn undo unlink unlock unpack
    unregister update use validate value verify wait wake walk warn watch weigh withdraw wrap write yield
    """.split()  # noqa: SIM905 - a list of words is read as words
)
"""The verbs that a function's docstring may begin with. Add one when none of these says it."""

NO_BEGINNING = frozenset(
    """
    above after as at before beside beyond how if it its like once our since so still that their there these
    they this those to what whatever when whenever where whereas whether which while who whom whose why with
    within without
    """.split()  # noqa: SIM905 - a list of words is read as words
)
"""No noun and no verb: a docstring that begins so is half a sentence."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def main(arguments: list[str]) -> int:
    """Name the docstrings below the given folder that begin otherwise; return 1 when there are any."""
    root = Path(arguments[0] if arguments else "src")
    offences = [
        f"{path}:{line}: {offence}"
        for path in sorted(root.rglob("*.py"))
        for line, offence in offences_in(path.read_text("utf-8"))
    ]
    sys.stdout.writelines(f"{offence}\n" for offence in offences)
    return 1 if offences else 0


def offences_in(text: str) -> Iterator[tuple[int, str]]:
    """Yield line and reason for each docstring of the module ``text`` that is refused, and for each that lacks."""
    module = ast.parse(text)
    first = first_word(ast.get_docstring(module) or "")
    if first.lower() in NO_BEGINNING:
        yield 1, f"the docstring of the module begins with {first!r}: name what it is"
    for node in ast.walk(module):
        if isinstance(node, Function | ast.ClassDef):
            docstring = ast.get_docstring(node)
            first = first_word(docstring or "")
            if docstring and isinstance(node, Function) and not begins_with_verb(docstring):
                yield node.lineno, f"the docstring of {node.name} begins with {first!r}, not with a verb"
            if docstring and isinstance(node, ast.ClassDef) and first.lower() in NO_BEGINNING:
                yield node.lineno, f"the docstring of {node.name} begins with {first!r}: name what it is"
        if isinstance(node, ast.ClassDef) and any("Protocol" in ast.unparse(base) for base in node.bases):
            for method in node.body:
                if isinstance(method, Function) and not method.name.startswith("_"):
                    docstring = ast.get_docstring(method)
                    if not docstring:
                        yield method.lineno, f"{node.name}.{method.name} of a Protocol has no docstring"
                    elif not first_paragraph(docstring).endswith("."):
                        yield method.lineno, f"the first sentence of {node.name}.{method.name} has no period"


def first_word(docstring: str) -> str:
    """Return the first word of a docstring without the punctuation around it; empty when there is none."""
    found = re.match(r"\S+", docstring)
    return found[0].rstrip(",;:.") if found else ""


def first_paragraph(docstring: str) -> str:
    """Return the docstring up to its first empty line."""
    return docstring.partition("\n\n")[0].rstrip()


def begins_with_verb(docstring: str) -> bool:
    """Return whether ``docstring`` begins with a verb; before "of" the same word is a noun ("Record of …")."""
    first = first_word(docstring)
    return first.istitle() and first.lower() in VERBS and not re.match(r"\S+\s+of\b", docstring)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
