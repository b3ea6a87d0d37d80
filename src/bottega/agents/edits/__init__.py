"""A model's text becomes edits, and edits become files. Pure: nothing here touches a disk.

The format we ask for is a path alone on a line, then a fenced block with the whole file or with SEARCH/REPLACE
blocks. It is what models already write unasked: over the published leaderboards of Aider, whole files come back well
formed in 98 of 100 cases and SEARCH/REPLACE in 92, code inside JSON loses five points of correctness, and line
numbers in diffs are wrong as a rule. Other dialects are accepted where they are unambiguous, and never asked for.

What cannot be understood in exactly one way is refused with a complaint the model can act on: a retry costs a call,
an edit in the wrong place costs the project. A reply is applied whole or not at all.
"""

from bottega.agents.edits.apply import Applied, apply_edits
from bottega.agents.edits.parsing import parse_edits
from bottega.agents.edits.types import DeleteFile, Edit, EditRefused, ReplaceBlock, WriteFile, render_edits

__all__ = [
    "Applied",
    "DeleteFile",
    "Edit",
    "EditRefused",
    "ReplaceBlock",
    "WriteFile",
    "apply_edits",
    "parse_edits",
    "render_edits",
]
