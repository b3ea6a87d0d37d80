import pytest

from bottega.agents.forms import GatherForm, PlanForm, VerdictForm
from bottega.agents.replies import read_json, schema_of
from bottega.agents.types import UnusableReply

OBJECT = '{"reasoning": "r", "title": "Shelf", "questions": []}'


@pytest.mark.parametrize(
    "text",
    [
        OBJECT,
        f"```json\n{OBJECT}\n```",
        f"Here it is, in {{braces}}:\n{OBJECT}\nThat is all.",
        f'<think>{{"title": 1}}</think>{OBJECT}',
        OBJECT.replace('"r"', '"two\nlines"'),
        OBJECT.replace("Shelf", "Sh\\u0000e\\ud800lf"),
    ],
)
def test_an_object_is_found(text: str) -> None:
    assert read_json(text, GatherForm).title == "Shelf"


@pytest.mark.parametrize("length", range(1, len(OBJECT)))
def test_a_cut_object_is_never_completed(length: int) -> None:
    with pytest.raises(UnusableReply) as unusable:
        read_json(OBJECT[:length], GatherForm)
    assert unusable.value.truncated


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("I cannot do that.", "no JSON object"),
        (OBJECT.replace("[]", "[,]"), "not valid"),
        (OBJECT.replace('"title"', '"name"'), "title: Field required"),
        (OBJECT.replace("Shelf", " "), "title"),
        ('{"a":' * 100_000, "JSON"),
    ],
)
def test_an_unusable_object_is_refused(text: str, words: str) -> None:
    with pytest.raises(UnusableReply, match=words):
        read_json(text, GatherForm)


@pytest.mark.parametrize("form", [GatherForm, PlanForm, VerdictForm])
def test_a_schema_is_plain(form: type[GatherForm]) -> None:
    schema = schema_of(form)
    assert not any(word in str(schema) for word in ("$ref", "$defs", "anyOf", "minLength", "title': '"))
    assert schema["required"] == list(form.model_fields)


def test_reasons_come_before_verdicts() -> None:
    criterion = schema_of(VerdictForm)["properties"]["criteria"]["items"]
    assert list(criterion["properties"]) == ["number", "reason", "met"]
