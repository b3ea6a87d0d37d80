import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bottega.llm.sse import EventParser, EventTooLong

STREAM = ": ping\r\n\r\ndata: eins\n\nevent: x\ndata:zwei\r\ndata: größer\r\n\r\nid: 7\n\ndata: [DONE]\n".encode()
EVENTS = ["eins", "zwei\ngrößer", "[DONE]"]


def read(chunks: list[bytes]) -> list[str]:
    parser = EventParser(max_event_bytes=1000)
    return [event for chunk in chunks for event in parser.feed(chunk)] + parser.end()


def test_events_are_found_among_comments_and_other_fields() -> None:
    assert read([STREAM]) == EVENTS


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_events_are_the_same_wherever_the_network_cuts(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(STREAM)]
    assert read([STREAM[a:b] for a, b in itertools.pairwise(edges)]) == EVENTS


def test_half_an_event_is_dropped() -> None:
    assert read([b'data: {"a":1}\n\ndata: {"b']) == ['{"a":1}']


def test_bytes_that_are_no_utf8_are_replaced() -> None:
    assert read([b"data: a\xffb\n\n"]) == ["a\ufffdb"]


@pytest.mark.parametrize(
    "chunk", [b"data: " + b"x" * 60, b"x" * 60, b"data: 0123456789\n" * 6, b"data: " + b"x" * 60 + b"\n\n"]
)
def test_an_event_has_a_longest_size(chunk: bytes) -> None:
    with pytest.raises(EventTooLong):
        EventParser(max_event_bytes=50).feed(chunk)


def test_pings_without_end_take_no_memory() -> None:
    parser = EventParser(max_event_bytes=50)
    assert [parser.feed(b": OPENROUTER PROCESSING\n\n") for _ in range(100)] == [[]] * 100
    assert parser._buffer == b""
