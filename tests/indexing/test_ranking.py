import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.indexing.samples import NOTES, WORDS, python_files

from bottega.indexing.chunking import chunk_file
from bottega.indexing.ranking import Ranking

FILES = {
    "app/notes.py": NOTES,
    "app/export.py": "def export_csv(notes):\n    return notes\n\n\ndef export_html(notes):\n    return notes\n",
    "app/users.py": "class User:\n    def rename(self, name):\n        self.name = name\n",
    "docs/guide.md": "How to export your notes: run the export command. Export is quick.\n",
}


def ranking(files: dict[str, str]) -> Ranking:
    language = {"py": "python", "md": "markdown"}
    return Ranking(
        {path: chunk_file(text=text, language=language[path.rpartition(".")[2]]) for path, text in files.items()}
    )


@pytest.mark.parametrize(
    ("query", "path", "symbol"),
    [
        ("let the user change their name", "app/users.py", "User.rename"),
        ("export_html", "app/export.py", "export_html"),
        ("EXPORT_HTML is wrong", "app/export.py", "export_html"),
        ("where do we write html?", "app/export.py", "export_html"),
        ("Notes.find returns too much", "app/notes.py", "Notes.find"),
        ("the LIMIT is too low", "app/notes.py", ""),
        ("guide", "docs/guide.md", ""),
    ],
)
def test_the_code_a_text_is_about_comes_first(query: str, path: str, symbol: str) -> None:
    best, *_ = ranking(FILES).search(query=query, limit=5)
    assert (best.path, best.chunk.symbol) == (path, symbol)


def test_a_hit_says_why() -> None:
    best, *_ = ranking(FILES).search(query="export to html", limit=1)
    assert best.why == ("export_html", "export")


@pytest.mark.parametrize("query", ["", "the of and", "zebra", "!?"])
def test_a_query_without_a_known_word_finds_nothing(query: str) -> None:
    assert ranking(FILES).search(query=query, limit=5) == ()


def test_an_empty_project_finds_nothing() -> None:
    assert Ranking({}).search(query="note", limit=5) == ()
    assert Ranking({"empty.py": ()}).search(query="note", limit=5) == ()


def test_one_file_cannot_fill_the_list() -> None:
    many = {"many.py": "\n\n".join(f"def note_{n}():\n    pass" for n in range(9)), "other.py": "note = 1\n"}
    hits = ranking(many).search(query="note", limit=9)
    assert [hit.path for hit in hits].count("many.py") == 3
    assert "other.py" in {hit.path for hit in hits}


def test_the_limit_holds() -> None:
    assert len(ranking(FILES).search(query="export notes", limit=2)) == 2


@given(
    files=st.dictionaries(st.sampled_from(["a.py", "b.py", "c/d.py", "e.py"]), python_files, max_size=4),
    query=st.lists(st.sampled_from(WORDS), max_size=3).map(" ".join),
    seed=st.integers(),
)
def test_the_order_of_files_and_of_words_does_not_matter(files: dict[str, str], query: str, seed: int) -> None:
    shuffled = list(files.items())
    random.Random(seed).shuffle(shuffled)  # noqa: S311 -- not a secret
    backwards = " ".join(reversed(query.split()))
    hits = ranking(files).search(query=query, limit=10)
    assert hits == ranking(dict(shuffled)).search(query=backwards, limit=10)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert all(hit.why and hit.score > 0 for hit in hits)
