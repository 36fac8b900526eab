"""Checks that docstrings begin as the house writes them: a function's with a verb, a class's with a noun phrase.

``python lint/docstrings.py [ROOT]`` reads every module below ROOT (``src``), names each docstring that begins
otherwise, and each public method of a Protocol without one. Its exit status is 1 when there is any, 2 when there is
no module to read.

- The docstring of a function, method or property begins with a verb of :data:`VERBS` in the imperative ("Return
  the …"). A list of verbs can be checked where a grammar cannot, and it keeps out verbs that say less than another
  one ("Tell", "Say", "Give").
- The docstring of a module or a class begins with a noun ("A queue of …") or a verb in the third person
  ("Publishes …"), never with a word of :data:`NO_BEGINNING`.
- Every public method of a Protocol has a docstring whose first paragraph ends with a period. The other public names
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
    they this those to told what whatever when whenever where whereas whether which while who whom whose why with
    within without
    """.split()  # noqa: SIM905 - a list of words is read as words
)
"""No noun and no verb: a docstring that begins so is half a sentence."""

NOUN_BEFORE = re.compile(r"(\S+)\s+(of|on|for|about|number)\b")
NOUNS_TOO = frozenset(
    """
    answer cause change count drop group hold issue limit list look mark measure name note number offer order
    place plan price quote rank record report request reserve sample schedule signal size step store sum test
    time trade update value
    """.split()  # noqa: SIM905 - a list of words is read as words
)
"""Nouns as well as verbs: a noun before each of those words ("Number for the …"); any verb is one before "of"."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def main(arguments: list[str]) -> int:
    """Name the docstrings below a folder that begin otherwise; return 1 when there are any, 2 without a module."""
    root = Path(arguments[0] if arguments else "src")
    modules = sorted(root.rglob("*.py"))
    if not modules:
        sys.stderr.write(f"{root}: no module to read\n")
        return 2
    offences = [
        f"{path}:{line}: {offence}" for path in modules for line, offence in offences_in(path.read_text("utf-8"))
    ]
    sys.stdout.writelines(f"{offence}\n" for offence in offences)
    return 1 if offences else 0


def offences_in(text: str) -> Iterator[tuple[int, str]]:
    """Yield line and reason for each docstring of the module ``text`` that is refused, and for each that lacks."""
    module = ast.parse(text)
    protocols = protocol_names(module)
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
        if isinstance(node, ast.ClassDef) and any(base_name(base) in protocols for base in node.bases):
            for method in node.body:
                if isinstance(method, Function) and not method.name.startswith("_"):
                    docstring = ast.get_docstring(method)
                    if not docstring:
                        yield method.lineno, f"{node.name}.{method.name} of a Protocol has no docstring"
                    elif not first_paragraph(docstring).endswith("."):
                        yield method.lineno, f"the first paragraph of {node.name}.{method.name} has no period"


def protocol_names(module: ast.Module) -> set[str]:
    """Return the names under which ``module`` may use ``typing.Protocol``."""
    imports = [node for node in ast.walk(module) if isinstance(node, ast.ImportFrom)]
    renamed = {
        alias.asname for node in imports for alias in node.names if alias.name == "Protocol" and alias.asname
    }
    return {"Protocol", *renamed}


def base_name(base: ast.expr) -> str:
    """Return the name of a base class without its module and parameters."""
    return ast.unparse(base).partition("[")[0].rpartition(".")[2]


def first_word(docstring: str) -> str:
    """Return the first word of a docstring without the punctuation around it; empty when there is none."""
    found = re.match(r"\S+", docstring)
    return found[0].rstrip(",;:.") if found else ""


def first_paragraph(docstring: str) -> str:
    """Return the docstring up to its first empty line."""
    return docstring.partition("\n\n")[0].rstrip()


def begins_with_verb(docstring: str) -> bool:
    """Return whether ``docstring`` begins with a verb, not with a noun of the same spelling."""
    first = first_word(docstring)
    noun = NOUN_BEFORE.match(docstring)
    is_noun = noun is not None and (noun[2] == "of" or noun[1].lower() in NOUNS_TOO)
    return first.istitle() and first.lower() in VERBS and not is_noun


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
