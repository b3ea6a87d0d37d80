from hypothesis import given
from hypothesis import strategies as st

from bottega.projects.todo import TodoItem, TodoState, parse_todo, render_todo

titles = st.text(max_size=60).map(lambda text: " ".join(text.split()))
items = st.builds(
    TodoItem,
    key=st.integers(min_value=1, max_value=99).map(lambda n: f"T{n}"),
    title=titles,
    state=st.sampled_from(TodoState),
)


def test_a_list_shows_what_is_done_what_is_to_do_and_what_could_not_be_checked() -> None:
    listing = render_todo(
        title="Notes keeper",
        items=[
            TodoItem(key="T1", title="Store notes", state=TodoState.DONE),
            TodoItem(key="T2", title="Search\nnotes", state=TodoState.UNCHECKED),
            TodoItem(key="T3", title="Export notes", state=TodoState.TODO),
        ],
    )
    assert listing == (
        "# Notes keeper\n\n"
        "- [x] **T1** Store notes\n"
        "- [~] **T2** Search notes\n"
        "- [ ] **T3** Export notes\n\n"
        "`[~]` written, but its checks could not be executed.\n"
    )


def test_the_legend_is_only_there_when_it_is_needed() -> None:
    done = TodoItem(key="T1", title="Store notes", state=TodoState.DONE)
    assert "[~]" not in render_todo(title="Notes", items=[done])


@given(title=st.text(max_size=60), tasks=st.lists(items, max_size=8))
def test_what_is_rendered_reads_back_the_same(title: str, tasks: list[TodoItem]) -> None:
    assert parse_todo(render_todo(title=title, items=tasks)) == tuple(tasks)


def test_a_title_cannot_smuggle_in_an_item() -> None:
    listing = render_todo(title="x\n- [x] **T9** all done", items=[])
    assert parse_todo(listing) == ()
