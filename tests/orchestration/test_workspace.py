from bottega.agents.types import ContextFile
from bottega.orchestration.steps.workspace import outline


def test_files_that_are_not_shown_are_outlined_by_their_signatures() -> None:
    files = {
        "a.py": "def shown() -> int:\n    return 1\n",
        "b.py": "def hidden(x: int) -> int:\n    return x\n",
        "c.py": "def part() -> None: ...\n",
    }
    shown = [ContextFile(path="a.py", text=files["a.py"]), ContextFile(path="c.py", text="", whole=False)]
    assert outline(files, shown=shown) == (
        "a.py",
        "b.py",
        "  def hidden(x: int) -> int",
        "c.py",
        "  def part() -> None",
    )
