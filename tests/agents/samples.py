"""A small project as its agents would see it, and a model that says what it is told to."""

from collections.abc import Iterator

from bottega.agents.prompting import Prompts
from bottega.agents.types import (
    Answer,
    Assignment,
    Brief,
    CommandResult,
    ContextFile,
    Plan,
    PlannedTask,
    ReadmeRequest,
    Repair,
    Review,
)
from bottega.llm.types import Completion, CompletionRequest, FinishReason, ModelName, Usage

MODEL = ModelName(provider="test", name="echo")
SUITE = "python -m unittest discover -s tests -v"

BRIEF = Brief(
    text="A command line tool that keeps my reading list: add a book, list what is unread, mark one as read.\n"
    "It should keep the list in a file in my home folder and never lose it.",
    answers=(Answer(question="May two books have the same title?", answer="Yes, if the authors differ"),),
    remarks=("Call it shelf, please.",),
)
TASK = PlannedTask(
    key="T2",
    title="List unread books",
    description="`shelf list` prints one line per unread book, oldest first: number, title, author.\n"
    "With none it prints 'Nothing to read.'",
    files=("shelf/cli.py", "tests/test_list.py"),
    depends_on=("T1",),
    commands=(SUITE,),
    criteria=("Unread books are listed oldest first.", "An empty list prints 'Nothing to read.' and exits 0."),
    size="small",
)
DOCUMENTATION = (
    "shelf keeps a reading list in `~/.shelf.json`.\n\n"
    "- `shelf/store.py`: `load() -> list[Book]`, `save(books)`\n- `shelf/cli.py`: commands"
)
CONTEXT = (
    ContextFile(path="shelf/store.py", text="def load():\n    return []\n"),
    ContextFile(path="shelf/cli.py", text="def main():\n    raise SystemExit(2)\n"),
    ContextFile(path="shelf/big.py", text="    def later(self):\n        return 1\n", first_line=310, whole=False),
)
TREE = ("shelf/__init__.py", "shelf/big.py", "shelf/cli.py", "shelf/store.py", "tests/__init__.py")
FAILED = CommandResult(
    command=SUITE,
    executed=True,
    passed=False,
    exit_code=1,
    output="FAIL: test_order\nAssertionError: ['B', 'A'] != ['A', 'B']",
)
PASSED = CommandResult(command=SUITE, executed=True, passed=True, exit_code=0, output="Ran 4 tests in 0.01s\n\nOK")
UNRUN = CommandResult(
    command="node --test", executed=False, passed=False, exit_code=None, output="", reason="no sandbox here"
)

PLAN = Plan(title="shelf", documentation=DOCUMENTATION, tech_stack={"language": "Python 3.11"}, tasks=(TASK,))
FIRST = Assignment(
    project_title="shelf", documentation=DOCUMENTATION, task=TASK, tree=TREE, context=CONTEXT, session="s-1"
)
SECOND = Assignment(
    project_title="shelf",
    documentation=DOCUMENTATION,
    task=TASK,
    tree=TREE,
    context=CONTEXT,
    feedback="The order is by title; it must be by the time of adding.",
    results=(FAILED,),
    attempt=2,
    session="s-1",
)
REVIEW = Review(
    brief=BRIEF,
    documentation=DOCUMENTATION,
    task=TASK,
    diff="--- a/shelf/cli.py\n+++ b/shelf/cli.py\n@@ -1 +1,2 @@\n+def list_books(): ...\n",
    context=CONTEXT[:1],
    results=(PASSED, UNRUN),
    findings=("tests/test_add.py disappeared",),
    session="s-1",
)
README = ReadmeRequest(
    brief=BRIEF,
    title="shelf",
    documentation=DOCUMENTATION,
    tech_stack={"language": "Python 3.11, standard library"},
    tree=TREE,
    context=CONTEXT[:1],
    commands=(SUITE,),
    previous="# shelf\n\n```sh\npython -m shelf list\n```\n",
    results=(FAILED,),
    attempt=2,
    session="s-1",
)
REPAIR = Repair(reply="I would rather not.", complaint="No edit was found in your reply.")


def prompts() -> Prompts:
    return Prompts(new_nonce=lambda: "5e1f")


class Parrot:
    """An LLM that gives its replies in turn and remembers what it was asked."""

    def __init__(self, *replies: str, finish: FinishReason = FinishReason.STOP) -> None:
        self._replies: Iterator[str] = iter(replies)
        self._finish = finish
        self.asked: list[CompletionRequest] = []

    async def complete(self, request: CompletionRequest) -> Completion:
        self.asked.append(request)
        return Completion(
            text=next(self._replies), finish=self._finish, usage=Usage(output_tokens=7), model=request.model
        )
