"""Which chunks of a project a text is about: BM25 over three fields, paths, definitions and words.

A word counts eight times in a path, twice where it is defined, once where it is used. A compound identifier in the
query (`parse_todo`) also counts as itself, and so does any word that is the whole name of something defined. A chunk
ranks by its own score plus the mean of its file's three best: a file's rank is then its maximum plus its top-3 mean.
Equal scores are ordered by path and line, so that the same files and query always give the same hits.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bottega.indexing.chunking import Chunk
from bottega.indexing.words import identifiers, is_compound, parts

_PATH, _DEFINED, _USED = 8.0, 2.0, 1.0
_K1, _B = 1.2, 0.75
_BEST_OF_FILE = 3
_SHOWN_REASONS = 6
_EXACT = "="  # marks a whole identifier among the terms; no part of one contains it

_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedChunk:
    """`why` names the identifiers and path parts that matched, the rarest first."""

    path: str
    chunk: Chunk
    score: float
    why: tuple[str, ...]


class Ranking:
    """An immutable index of the chunks of `files`, by path."""

    def __init__(self, files: Mapping[str, Sequence[Chunk]]) -> None:
        self._places = [(path, chunk) for path in files for chunk in files[path]]
        postings: dict[str, list[tuple[int, float]]] = defaultdict(list)
        lengths = np.zeros(len(self._places))
        for number, (path, chunk) in enumerate(self._places):
            terms = _terms(path, chunk)
            lengths[number] = sum(terms.values())
            for term, weight in terms.items():
                postings[term].append((number, weight))
        mean = float(lengths.mean()) if len(lengths) else 1.0
        self._postings = dict(postings)
        self._saturation: _Floats = _K1 * (1 - _B + _B * lengths / mean)

    def __len__(self) -> int:
        return len(self._places)

    def search(self, *, query: str, limit: int) -> tuple[RankedChunk, ...]:
        """Return at most `limit` chunks, best first, and at most three of one file."""
        rarity = {term: self._rarity(term) for term in _query_terms(query) if term in self._postings}
        scores = np.zeros(len(self._places))
        for term in sorted(rarity):  # always the same order, so that sums are the same to the last bit
            numbers, weights = _columns(self._postings[term])
            scores[numbers] += rarity[term] * weights * (_K1 + 1) / (weights + self._saturation[numbers])
        return tuple(
            RankedChunk(path=path, chunk=chunk, score=score, why=_why(path, chunk, rarity))
            for score, path, chunk in self._best(scores)[:limit]
        )

    def _rarity(self, term: str) -> float:
        seen = len(self._postings[term])
        return float(np.log1p((len(self._places) - seen + 0.5) / (seen + 0.5)))

    def _best(self, scores: _Floats) -> list[tuple[float, str, Chunk]]:
        by_file: dict[str, list[tuple[float, Chunk]]] = defaultdict(list)
        for number in np.flatnonzero(scores):
            path, chunk = self._places[number]
            by_file[path].append((float(scores[number]), chunk))
        ranked = []
        for path, found in by_file.items():
            best = sorted(found, key=lambda hit: (-hit[0], hit[1].start_line))[:_BEST_OF_FILE]
            mean = sum(score for score, _ in best) / len(best)
            ranked += [(round(score + mean, 6), path, chunk) for score, chunk in best]
        return sorted(ranked, key=lambda hit: (-hit[0], hit[1], hit[2].start_line))


def _terms(path: str, chunk: Chunk) -> dict[str, float]:
    terms: dict[str, float] = defaultdict(float)
    for words, weight in ((identifiers(path), _PATH), (chunk.defines, _DEFINED), (chunk.uses, _USED)):
        for identifier, count in words.items():
            for part in parts(identifier):
                terms[part] += weight * count
    for identifier in chunk.defines:
        terms[_EXACT + identifier.casefold()] += _PATH
    for identifier, count in chunk.uses.items():
        if is_compound(identifier):
            terms[_EXACT + identifier.casefold()] += _USED * count
    return terms


def _query_terms(query: str) -> set[str]:
    words = identifiers(query)
    return {part for word in words for part in parts(word)} | {_EXACT + word.casefold() for word in words}


def _columns(postings: list[tuple[int, float]]) -> tuple[npt.NDArray[np.intp], _Floats]:
    numbers, weights = zip(*postings, strict=True)
    return np.array(numbers, dtype=np.intp), np.array(weights)


def _why(path: str, chunk: Chunk, rarity: Mapping[str, float]) -> tuple[str, ...]:
    candidates = {*identifiers(path), *chunk.defines, *chunk.uses}
    worth = {identifier: sum(rarity.get(term, 0.0) for term in _matchable(identifier)) for identifier in candidates}
    matched = [identifier for identifier in candidates if worth[identifier]]
    return tuple(sorted(matched, key=lambda identifier: (-worth[identifier], identifier))[:_SHOWN_REASONS])


def _matchable(identifier: str) -> Iterable[str]:
    return {*parts(identifier), _EXACT + identifier.casefold()}
