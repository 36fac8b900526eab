"""Notes for the reader of a result: made as values, written in the reader's language when they are shown."""

from qts.notes.note import Note
from qts.notes.rendering import in_english, in_korean

__all__ = ["Note", "in_english", "in_korean"]
