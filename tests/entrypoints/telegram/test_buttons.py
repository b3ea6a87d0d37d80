import dataclasses
import uuid

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bottega.entrypoints.telegram import buttons
from bottega.entrypoints.telegram.buttons import Press, decode, encode

KINDS: list[type[Press]] = [
    kind for kind in vars(buttons).values() if isinstance(kind, type) and issubclass(kind, Press) and kind is not Press
]
PROJECT = uuid.UUID("1b4e28ba-2fa1-4cd2-883f-0016d3cca427")
FIELDS: dict[object, st.SearchStrategy[object]] = {
    uuid.UUID: st.uuids(),
    int: st.integers(0, 999_999),
    str: st.from_regex(r"[A-Za-z0-9_-]{1,20}", fullmatch=True),
}


def presses() -> st.SearchStrategy[Press]:
    return st.sampled_from(KINDS).flatmap(
        lambda kind: st.builds(kind, **{field.name: FIELDS[field.type] for field in dataclasses.fields(kind)})
    )


@settings(max_examples=300)
@given(presses())
def test_every_button_is_read_as_it_was_made(press: Press) -> None:
    data = encode(press)
    assert len(data.encode()) <= 64
    assert decode(data) == press


@settings(max_examples=500)
@given(
    st.one_of(
        st.text(),
        presses()
        .map(encode)
        .flatmap(
            lambda data: st.sampled_from(
                [
                    data + "=",
                    data + ".",
                    data[:-1],
                    data.upper(),
                    f" {data}",
                    data + "\n",
                    data + "\0",
                    data.replace(".", ":", 1),
                ]
            )
        ),
    )
)
@example("ok.")
@example("ok." + "A" * 21 + "B")  # the same id written in another way
@example("ok." + "A" * 22 + "==")
@example("ao." + "A" * 22 + ".01")
@example("ao." + "A" * 22 + ".-1")
@example("ao." + "A" * 22 + ".1000000")
@example("ao." + "A" * 22 + ".²")
@example("bs." + "x" * 51)
@example("bs.\ud83d")
@example("nw.x")
@example("")
def test_what_we_did_not_write_is_no_button(data: str) -> None:
    """Or it is one that we would write just so."""
    press = decode(data)
    assert press is None or encode(press) == data


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_kind_has_a_code_of_its_own(kind: type[Press]) -> None:
    assert [other for other in KINDS if other.code == kind.code] == [kind]
    assert len(kind.code) == 2


@pytest.mark.parametrize(
    "press",
    [
        buttons.BuyWithStars(package="x" * 51),
        buttons.BuyWithStars(package=""),
        buttons.BuyWithStars(package="a.b"),
        buttons.BuyWithStars(package="ñ"),
        buttons.AnswerOption(question_id=PROJECT, index=-1),
        buttons.AnswerOption(question_id=PROJECT, index=1_000_000),
        buttons.ChangeFile(project_id=PROJECT, index=999_999, mark="x" * 40),
    ],
)
def test_what_does_not_fit_a_button_is_refused_where_it_is_made(press: Press) -> None:
    with pytest.raises(ValueError, match=r"button|bytes"):
        encode(press)


def test_the_longest_name_of_a_package_fits() -> None:
    press = buttons.BuyWithStars(package="x" * 50)
    assert decode(encode(press)) == press


def test_a_list_of_files_is_told_from_any_other() -> None:
    marks = {buttons.paths_mark(paths) for paths in (["a", "b"], ["a"], ["b", "a"], [], ["a\nb", "\ud83d"])}
    assert len(marks) == 5
    assert all(len(mark) == 12 for mark in marks)
