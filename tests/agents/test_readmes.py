import pytest

from bottega.agents.readmes import read_readme, shell_commands
from bottega.agents.types import UnusableReply

BLOCKS = {
    "plain": ("```sh\na b\nc\n```", ("a b", "c")),
    "prompts and output": ("```bash\n$ a b\nout\n$ c\n```", ("a b", "c")),
    "continued": ("```shell\na \\\n  b \\\n  c\nd\n```", ("a b c", "d")),
    "comments": ("```sh\n# first\na  # why\n\n```", ("a  # why",)),
    "here-document": ("```sh\ncat > x <<'EOF'\n# one\n\nEOF\nb\n```", ("cat > x <<'EOF'\n# one\n\nEOF", "b")),
    "open quote": ("```sh\npython -c '\nprint(1)\n'\n```", ("python -c '\nprint(1)\n'",)),
    "illustrations": ("```console\n$ a\n```\n```text\nb\n```\n```python\nc\n```\n```\nd\n```", ()),
    "a fence within a longer one": ("````markdown\n```sh\na\n```\n````\n```sh\nb\n```", ("b",)),
}


@pytest.mark.parametrize(("markdown", "commands"), BLOCKS.values(), ids=BLOCKS)
def test_the_commands_of_shell_blocks_are_found(markdown: str, commands: tuple[str, ...]) -> None:
    assert shell_commands(markdown) == commands


@pytest.mark.parametrize(
    "reply",
    ["# T\n\nx", "Here it is:\n\n# T\n\nx\n", "```markdown\n# T\n\nx\n```", "<think>\n# no\n</think>\n# T\n\nx"],
)
def test_what_surrounds_a_readme_is_left_out(reply: str) -> None:
    assert read_readme(reply).text == "# T\n\nx\n"


@pytest.mark.parametrize(
    ("reply", "words"), [("no title", "title"), ("```sh\n# x\n```", "title"), ("# T\n```sh\na", "closed")]
)
def test_an_unusable_readme_is_refused(reply: str, words: str) -> None:
    with pytest.raises(UnusableReply, match=words):
        read_readme(reply)
