import json
from typing import Any

import pytest
from tests.agents import samples

from bottega.agents.architect import ArchitectAgent
from bottega.agents.types import AskedQuestion, Gathered, UnusableReply, Verdict
from bottega.llm.types import FinishReason


def architect(reply: str, finish: FinishReason = FinishReason.STOP) -> ArchitectAgent:
    return ArchitectAgent(llm=samples.Parrot(reply, finish=finish), model=samples.MODEL, prompts=samples.prompts())


async def gather(**changes: object) -> Gathered:
    reply = {"reasoning": "", "title": "Shelf", "questions": [], **changes}
    return await architect(json.dumps(reply)).gather(brief=samples.BRIEF, session="s", attempt=1)


async def test_a_complete_brief_gets_no_question() -> None:
    assert await gather() == Gathered(title="Shelf", questions=())


async def test_the_first_option_is_the_recommended_one() -> None:
    gathered = await gather(questions=[{"text": " Who? ", "options": ["me", "all", "me"]}])
    assert gathered.questions == (AskedQuestion(text="Who?", options=("me", "all"), recommended=0),)


async def test_at_most_five_questions_are_asked() -> None:
    assert len((await gather(questions=[{"text": "Q", "options": ["a", "b"]}] * 7)).questions) == 5


async def test_a_question_without_a_choice_is_sent_back() -> None:
    with pytest.raises(UnusableReply, match="two to five"):
        await gather(questions=[{"text": "Q", "options": ["a", "a"]}])


def task(key: str, *depends_on: str, **changes: object) -> dict[str, Any]:
    made = {"key": key, "title": key, "description": "d", "files": [f"{key}.py"], "depends_on": list(depends_on)}
    return {**made, "commands": ["python -m unittest"], "criteria": ["c"], "size": "small", **changes}


def plan_of(*tasks: dict[str, Any]) -> str:
    stack = [{"part": "language", "choice": "Python"}]
    return json.dumps({"title": "Shelf", "documentation": "d", "tech_stack": stack, "tasks": tasks})


async def test_a_plan_comes_in_the_order_of_work() -> None:
    plan = await architect(plan_of(task("T1", "T2"), task("T2"), task("T3", "T1"))).plan(
        brief=samples.BRIEF, session="s", attempt=1
    )
    assert [each.key for each in plan.tasks] == ["T2", "T1", "T3"]
    assert plan.tech_stack == {"language": "Python"}


UNSOUND = {
    "no tasks": ([], "0 tasks"),
    "too many tasks": ([task(f"T{n}") for n in range(1, 17)], "16 tasks"),
    "a key twice": ([task("T1"), task("T1")], "more than one"),
    "strange keys": ([task("T1"), task("B")], "B: keys must be T1 to T2"),
    "unknown dependency": ([task("T1", "T9")], "T1 depends on T9"),
    "itself": ([task("T1", "T1")], "T1 -> T1"),
    "a circle": (
        [task("T1", "T3"), task("T2", "T1"), task("T3", "T2")],
        "circle: T[123] -> T[123] -> T[123] -> T[123]",
    ),
    "unsafe path": ([task("T1", files=["../x"])], "T1: The path '../x'"),
    "path with a space": ([task("T1", files=["a b.py"])], "has a space"),
    "no commands": ([task("T1", commands=[])], "0 commands"),
    "no criteria": ([task("T1", criteria=[])], "0 criteria"),
    "empty command": ([task("T1", commands=["  "])], "a command is empty|commands.0"),
    "long command": ([task("T1", commands=["x" * 501])], "longer than 500"),
    "command of two lines": ([task("T1", commands=["a\nb"])], "line breaks"),
    "unknown size": ([task("T1", size="huge")], "size"),
}


@pytest.mark.parametrize(("tasks", "words"), UNSOUND.values(), ids=UNSOUND)
async def test_an_unsound_plan_is_sent_back(tasks: list[dict[str, Any]], words: str) -> None:
    with pytest.raises(UnusableReply, match=words):
        await architect(plan_of(*tasks)).plan(brief=samples.BRIEF, session="s", attempt=1)


async def verdict_of(*met: tuple[int, bool], feedback: str = "", claim: str = "") -> Verdict:
    criteria = [{"number": number, "reason": "r", "met": fulfilled} for number, fulfilled in met]
    reply = {"approved": claim or None, "criteria": criteria, "feedback": feedback}
    return await architect(json.dumps(reply)).verify(review=samples.REVIEW)


async def test_all_criteria_met_is_an_approval() -> None:
    verdict = await verdict_of((2, True), (1, True), feedback="nice")
    assert (verdict.approved, verdict.feedback) == (True, "")
    assert [judged.criterion for judged in verdict.criteria] == list(samples.TASK.criteria)


async def test_no_claim_overrules_an_unmet_criterion() -> None:
    verdict = await verdict_of((1, True), (2, False), feedback="Exit 0.", claim="true")
    assert (verdict.approved, verdict.feedback) == (False, "Exit 0.")


@pytest.mark.parametrize("met", [[], [(1, True)], [(1, True), (1, True)], [(1, True), (2, True), (3, True)]])
async def test_every_criterion_is_judged_once(met: list[tuple[int, bool]]) -> None:
    with pytest.raises(UnusableReply, match="exactly once"):
        await verdict_of(*met)


async def test_a_rejection_says_what_to_change() -> None:
    with pytest.raises(UnusableReply, match="what to change"):
        await verdict_of((1, True), (2, False))


async def test_a_readme_is_text_and_promises() -> None:
    readme = await architect("# Shelf\n\n```sh\n$ python -m shelf\n```\n").write_readme(request=samples.README)
    assert readme.commands == ("python -m shelf",)


async def test_a_cut_reply_is_refused_even_where_it_could_be_read() -> None:
    with pytest.raises(UnusableReply) as unusable:
        await architect(plan_of(task("T1")), FinishReason.LENGTH).plan(brief=samples.BRIEF, session="s", attempt=1)
    assert unusable.value.truncated
