"""Code to index: one file to look at, and strategies for any number of them."""

from hypothesis import strategies as st

NOTES = '''\
"""Notes."""

LIMIT = 3


class Notes:
    """Keeps notes."""

    kept: list[str] = []

    def add(self, note):
        self.kept.append(note)

    def find(self, word):

        return [n for n in self.kept if word in n]


def main():
    Notes().add("x")
'''

WORDS = ["note", "search", "export", "user", "price", "parse"]

_names = st.lists(st.sampled_from(WORDS), min_size=1, max_size=2, unique=True).map("_".join)
_functions = st.tuples(_names, _names).map(lambda pair: f"def {pair[0]}():\n    return {pair[1]}\n")
_classes = st.tuples(_names, st.lists(_functions, min_size=1, max_size=2)).map(
    lambda pair: f"class {pair[0].title()}:\n" + "".join(f"    {line}\n" for f in pair[1] for line in f.splitlines()),
)
_loose = st.sampled_from(["", "# a note to the user\n", "limit = 3\n", "def broken(:\n"])
python_files = st.lists(st.one_of(_functions, _classes, _loose), max_size=5).map("\n".join)
