"""A key that comes back is hidden, however the stream splits it, and nothing else is lost."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from bottega.llm.masking import Mask

SECRET = "abab-abac-key"
words = st.text(st.sampled_from("ab-c key"), max_size=60)


@given(text=st.lists(words | st.just(SECRET), max_size=6).map("".join), cuts=st.lists(st.integers(0, 200), max_size=12))
def test_pieces_say_together_what_the_whole_would(text: str, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    mask = Mask(SECRET)
    heard = [mask.piece(text[start:end]) for start, end in pairwise(edges)]
    heard.append(mask.rest())
    assert "".join(heard) == Mask(SECRET).text(text) == text.replace(SECRET, "***")


@given(text=words)
def test_without_a_secret_everything_passes_at_once(text: str) -> None:
    for secret in ("", "short"):
        assert Mask(secret).piece(text) == text
