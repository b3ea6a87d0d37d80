from hypothesis import given
from hypothesis import strategies as st

from bottega.agents.rendering import clip, fit_context, tree_text
from bottega.agents.types import ContextFile


def sized(path: str, size: int, *, whole: bool = True) -> ContextFile:
    return ContextFile(path=path, text=("x" * 9 + "\n") * (size // 10), whole=whole)


def test_the_task_s_files_come_first_then_whole_ones_as_they_were_ranked_then_excerpts() -> None:
    files = [sized("part", 10, whole=False), sized("telling", 90), sized("small", 20), sized("mine", 50)]
    assert [file.path for file in fit_context(files, first=("mine",)).files] == ["mine", "telling", "small", "part"]


def test_what_does_not_fit_is_cut_at_a_line_and_named() -> None:
    context = fit_context([sized("a", 600), sized("b", 2000), sized("c", 3000)], budget_bytes=1205)
    assert [(file.path, len(file.text), file.whole) for file in context.files] == [("a", 600, True), ("b", 600, False)]
    assert context.omitted == ("b after line 60 (1400 bytes)", "c (3000 bytes)")


@given(st.lists(st.text(max_size=2000), max_size=6), st.integers(0, 3000))
def test_the_budget_holds(texts: list[str], budget: int) -> None:
    context = fit_context([ContextFile(path=str(n), text=text) for n, text in enumerate(texts)], budget_bytes=budget)
    assert sum(len(file.text.encode()) for file in context.files) <= budget


def test_a_clipped_text_keeps_both_ends() -> None:
    clipped = clip("a" * 100 + "z" * 100, limit_bytes=30)
    assert clipped == "a" * 10 + "\n[... 170 bytes left out here ...]\n" + "z" * 20


def test_a_long_tree_says_how_much_more_there_is() -> None:
    assert tree_text([str(n) for n in range(302)]).endswith("299\n[... and 2 more]")
