import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bottega.agents.edits import DeleteFile, Edit, EditRefused, ReplaceBlock, WriteFile, parse_edits, render_edits

APP = "def main() -> None:\n    print('hi')\n"
SWAP = "<<<<<<< SEARCH\nold\n=======\nnew\n>>>>>>> REPLACE"
SWAPPED = ReplaceBlock(path="src/app.py", search="old\n", replace="new\n")
WRITTEN = WriteFile(path="src/app.py", content=APP)

DIALECTS: dict[str, tuple[str, tuple[Edit, ...]]] = {
    "whole file under its path": (f"src/app.py\n```python\n{APP}```\n", (WRITTEN,)),
    "prose around": (f"Sure! First the app.\n\nsrc/app.py\n```python\n{APP}```\n\nThat is all.", (WRITTEN,)),
    "bold path": (f"**src/app.py**\n```python\n{APP}```", (WRITTEN,)),
    "quoted path": (f"`src/app.py`:\n\n```python\n{APP}```", (WRITTEN,)),
    "heading": (f"### src/app.py\n```python\n{APP}```", (WRITTEN,)),
    "numbered bold heading": (f"#### 1. `src/app.py` (new)\n```python\n{APP}```", (WRITTEN,)),
    "keyed path": (f"File: src/app.py\n```python\n{APP}```", (WRITTEN,)),
    "heading, then a sentence": (f"## `src/app.py`\n\nIt greets.\n\n```python\n{APP}```", (WRITTEN,)),
    "sentence that names one path": (f"Here is `src/app.py`:\n```python\n{APP}```", (WRITTEN,)),
    "path in a comment inside": (f"```python\n# src/app.py\n{APP}```", (WRITTEN,)),
    "path in the info string": (f"```python src/app.py\n{APP}```", (WRITTEN,)),
    "path after a colon": (f"```python:src/app.py\n{APP}```", (WRITTEN,)),
    "CRLF reply": (f"src/app.py\n```python\n{APP}```\n".replace("\n", "\r\n"), (WRITTEN,)),
    "tildes": (f"src/app.py\n~~~\n{APP}~~~", (WRITTEN,)),
    "empty file": ("src/__init__.py\n```\n```", (WriteFile(path="src/__init__.py", content=""),)),
    "thinking before": (f"<think>\nmaybe\n```py\nx\n</think>\nsrc/app.py\n```\n{APP}```", (WRITTEN,)),
    "thinking without its opening": (f"b.py\n```\nx = 1\n```\n</think>\n\nsrc/app.py\n```\n{APP}```", (WRITTEN,)),
    "search and replace": (f"src/app.py\n```python\n{SWAP}\n```", (SWAPPED,)),
    "two pairs in one block": (f"src/app.py\n```python\n{SWAP}\n\n{SWAP}\n```", (SWAPPED, SWAPPED)),
    "a second block for the same file": (
        f"src/app.py\n```python\n{SWAP}\n```\nAnd:\n```python\n{SWAP}\n```",
        (SWAPPED, SWAPPED),
    ),
    "diff-fenced": (f"```python\nsrc/app.py\n{SWAP}\n```", (SWAPPED,)),
    "no fence": (f"src/app.py\n{SWAP}\n", (SWAPPED,)),
    "Cline's markers": (
        "src/app.py\n```\n------- SEARCH\nold\n=======\nnew\n+++++++ REPLACE\n```",
        (SWAPPED,),
    ),
    "envelope": (
        (
            "*** Begin Patch\n*** Update File: src/app.py\n@@ def f():\n a\n-old\n+new\n*** Add File: b.py\n+x = 1\n"
            "*** Delete File: c.py\n*** End Patch"
        ),
        (
            ReplaceBlock(path="src/app.py", search="a\nold\n", replace="a\nnew\n"),
            WriteFile(path="b.py", content="x = 1\n"),
            DeleteFile(path="c.py"),
        ),
    ),
    "fenced envelope": (
        "```\napply_patch <<'EOF'\n*** Begin Patch\n*** Delete File: c.py\n*** End Patch\nEOF\n```",
        (DeleteFile(path="c.py"),),
    ),
    "unified diff": (
        (
            "```diff\n--- a/src/app.py\n+++ b/src/app.py\n@@ -1,2 +1,2 @@\n a\n-old\n+new\n\n"
            "--- /dev/null\n+++ b/b.py\n@@ -0,0 +1 @@\n+x = 1\n--- a/c.py\n+++ /dev/null\n@@ -1 +0,0 @@\n-gone\n```"
        ),
        (
            ReplaceBlock(path="src/app.py", search="a\nold\n", replace="a\nnew\n"),
            WriteFile(path="b.py", content="x = 1\n"),
            DeleteFile(path="c.py"),
        ),
    ),
    "deletion": ("*** Delete File: src/old.py\n", (DeleteFile(path="src/old.py"),)),
    "fences within longer fences": (
        "docs/use.md\n````markdown\n# Use\n```\nrun\n```\nend\n````",
        (WriteFile(path="docs/use.md", content="# Use\n```\nrun\n```\nend\n"),),
    ),
    "fences with a language within equal fences": (
        "docs/use.md\n```markdown\n# Use\n```sh\nrun\n```\nend\n```",
        (WriteFile(path="docs/use.md", content="# Use\n```sh\nrun\n```\nend\n"),),
    ),
    "fences within search and replace": (
        "docs/use.md\n```\n<<<<<<< SEARCH\n```\nrun\n=======\n```\nwalk\n>>>>>>> REPLACE\n```",
        (ReplaceBlock(path="docs/use.md", search="```\nrun\n", replace="```\nwalk\n"),),
    ),
    "markers as a file's content": (
        f"tests/test_x.py\n```python\nTEXT = '''\n{SWAP}\n'''\n```",
        (WriteFile(path="tests/test_x.py", content=f"TEXT = '''\n{SWAP}\n'''\n"),),
    ),
    "shell illustration": (f"src/app.py\n```\n{APP}```\n\nRun `python src/app.py`:\n```sh\n./run.sh\n```", (WRITTEN,)),
    "unsafe paths are seen": ("../evil.py\n```\nx = 1\n```", (WriteFile(path="../evil.py", content="x = 1\n"),)),
}


@pytest.mark.parametrize(("reply", "edits"), DIALECTS.values(), ids=DIALECTS)
def test_a_dialect_is_understood(reply: str, edits: tuple[Edit, ...]) -> None:
    assert parse_edits(reply) == edits


REFUSED = {
    "no edits": ("I am done!", "No edit was found", False),
    "unclosed fence": ("a.py\n```python\nx = 1\n", "never closed", True),
    "missing REPLACE": ("a.py\n```\n<<<<<<< SEARCH\nx\n=======\ny\n```\n", "never closed", True),
    "missing REPLACE without a fence": ("a.py\n<<<<<<< SEARCH\nx\n=======\ny\n", "cut short", True),
    "markers behind code": ("a.py\n<<<<<<< SEARCH\nx=======\ny>>>>>>> REPLACE\n", "alone on a line", False),
    "missing End Patch": ("*** Begin Patch\n*** Delete File: a.py\n", "cut short", True),
    "unfinished thinking": ("<think>\nhm\n```\n", "thinking", True),
    "two dividers": ("a.md\n```\n<<<<<<< SEARCH\nT\n=======\nx\n=======\ny\n>>>>>>> REPLACE\n```", "2 lines", False),
    "no divider": ("a.md\n```\n<<<<<<< SEARCH\nT\n>>>>>>> REPLACE\n```", "0 lines", False),
    "block without a path": ("Here you go:\n```python\nx = 1\n```", "no path", False),
    "SEARCH without a path": (f"```\n{SWAP}\n```", "no path", False),
    "text between pairs": (f"a.py\n```\n{SWAP}\noops\n```", "stands between", False),
    "bare inner fences": ("a.md\n```\n# A\n```\ncode\n```\nmore\n```", "no path", False),
    "list of paths": ("These:\n\nsee\n```\nsrc/a.py\nsrc/b.py\n```", "no path", False),
    "insertion without context": ("*** Begin Patch\n*** Update File: a.py\n@@\n+x\n*** End Patch", "unchanged", False),
    "move": ("*** Begin Patch\n*** Update File: a\n*** Move to: b\n*** End Patch", "moving", False),
    "rename": ("```diff\n--- a/x.py\n+++ b/y.py\n@@\n-a\n+b\n```", "renaming", False),
}


@pytest.mark.parametrize(("reply", "words", "truncated"), REFUSED.values(), ids=REFUSED)
def test_an_unclear_reply_is_refused(reply: str, words: str, truncated: bool) -> None:  # noqa: FBT001
    with pytest.raises(EditRefused, match=words) as refused:
        parse_edits(reply)
    assert refused.value.truncated is truncated
    assert refused.value.reply == reply


def test_a_refusal_says_what_else_was_fine() -> None:
    with pytest.raises(EditRefused) as refused:
        parse_edits("a.py\n```\nx = 1\n```\n\nand\n```python\ny = 2\n```")
    assert "The rest could be read: a.py." in refused.value.complaint


paths = st.sampled_from(["a.py", "src/app.py", "docs/Read me.md".replace(" ", "-"), "Makefile", ".gitignore"])
line = st.one_of(
    st.text(st.characters(exclude_characters="\r\n", codec="utf-8"), max_size=12),
    st.sampled_from(["```", "````", "```sh", "", "  x"]),
)
text = st.lists(line, max_size=8).map(lambda lines: "".join(f"{each}\n" for each in lines))
edits = st.one_of(
    st.builds(WriteFile, path=paths, content=text),
    st.builds(ReplaceBlock, path=paths, search=text, replace=text),
    st.builds(DeleteFile, path=paths),
)


@given(st.lists(edits, min_size=1, max_size=4))
def test_what_is_rendered_is_read_back(written: list[Edit]) -> None:
    assert parse_edits(render_edits(written)) == tuple(written)


@pytest.mark.timeout(5)
@pytest.mark.parametrize("reply", ["```" + " " * 80_000 + "x`", "\n" * 80_000, "a " * 40_000 + ":", "```py\n" * 20_000])
def test_a_strange_reply_costs_no_time(reply: str) -> None:
    with pytest.raises(EditRefused):
        parse_edits(reply)


@given(st.text())
def test_any_text_is_read_or_refused(reply: str) -> None:
    with contextlib.suppress(EditRefused):
        assert parse_edits(reply)
