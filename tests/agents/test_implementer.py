import pytest
from tests.agents import samples

from bottega.agents.edits import EditRefused, WriteFile
from bottega.agents.implementer import IMPLEMENT_OUTPUT_TOKENS, ImplementerAgent
from bottega.agents.types import UnusableReply
from bottega.llm.types import FinishReason, Purpose


def implementer(parrot: samples.Parrot) -> ImplementerAgent:
    return ImplementerAgent(llm=parrot, model=samples.MODEL, prompts=samples.prompts())


async def test_a_reply_becomes_edits() -> None:
    parrot = samples.Parrot("shelf/cli.py\n```python\nx = 1\n```")
    edits = await implementer(parrot).implement(assignment=samples.SECOND)
    assert edits == (WriteFile(path="shelf/cli.py", content="x = 1\n"),)
    (asked,) = parrot.asked
    assert (asked.purpose, asked.subject, asked.attempt, asked.session) == (Purpose.IMPLEMENT, "T2", 2, "s-1")
    assert (asked.max_output_tokens, asked.schema) == (IMPLEMENT_OUTPUT_TOKENS, None)


async def test_an_unreadable_reply_can_be_sent_back() -> None:
    with pytest.raises(EditRefused) as refused:
        await implementer(samples.Parrot("done!")).implement(assignment=samples.FIRST)
    assert refused.value.reply == "done!"


async def test_a_cut_reply_is_refused_even_where_it_could_be_read() -> None:
    parrot = samples.Parrot("shelf/cli.py\n```python\nx = 1\n```", finish=FinishReason.LENGTH)
    with pytest.raises(UnusableReply) as unusable:
        await implementer(parrot).implement(assignment=samples.FIRST)
    assert unusable.value.truncated
