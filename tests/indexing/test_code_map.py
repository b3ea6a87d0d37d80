from hypothesis import given
from hypothesis import strategies as st
from tests.indexing.samples import NOTES, python_files

from bottega.indexing.code_map import code_map

FILES = {"notes.py": NOTES, "README.md": "# Notes\n"}


def test_a_map_shows_paths_and_signatures() -> None:
    assert code_map(files=FILES, max_bytes=1000) == (
        "README.md\nnotes.py\n  class Notes\n    def add(self, note)\n    def find(self, word)\n  def main()\n"
    )


def test_a_map_becomes_coarser_before_it_becomes_incomplete() -> None:
    assert code_map(files=FILES, max_bytes=60) == "README.md\nnotes.py\n  class Notes\n  def main()\n"
    assert code_map(files=FILES, max_bytes=30) == "README.md\nnotes.py\n"


def test_what_is_left_out_is_counted() -> None:
    many = {f"file_{n}.txt": "" for n in range(100)}
    drawn = code_map(files=many, max_bytes=60)
    assert drawn == "file_0.txt\nfile_1.txt\nfile_10.txt\n... and 97 more files\n"


@given(
    files=st.dictionaries(st.text(alphabet="aé/b.py", min_size=1, max_size=9), python_files, max_size=6),
    max_bytes=st.integers(min_value=0, max_value=300),
)
def test_the_budget_is_hard(files: dict[str, str], max_bytes: int) -> None:
    assert len(code_map(files=files, max_bytes=max_bytes).encode()) <= max_bytes
