"""Server-sent events, as much of them as providers use, with an upper bound on everything.

Feed bytes cut anywhere; get the `data` of every event that is complete. Comments (`: OPENROUTER PROCESSING`) yield
nothing, so that a server which only pings makes no progress. An event cut by the end of the stream is dropped.
"""


class EventTooLong(ValueError):
    pass


class EventParser:
    def __init__(self, *, max_event_bytes: int) -> None:
        self._max_event_bytes = max_event_bytes
        self._buffer = bytearray()
        self._scanned = 0
        self._data: list[str] = []
        self._data_bytes = 0

    def feed(self, chunk: bytes) -> list[str]:
        """Return the data of the events this chunk completes. Raise EventTooLong beyond the limit."""
        self._buffer += chunk
        events: list[str] = []
        start = 0
        while (end := self._buffer.find(b"\n", max(start, self._scanned))) >= 0:
            self._line(bytes(self._buffer[start:end]), events)
            start = end + 1
        del self._buffer[:start]
        self._scanned = len(self._buffer)
        self._check(self._scanned)
        return events

    def end(self) -> list[str]:
        """Return the last event where its lines are whole but the closing blank line never came."""
        events: list[str] = []
        self._dispatch(events)
        return events

    def _line(self, line: bytes, events: list[str]) -> None:
        line = line.removesuffix(b"\r")
        if not line:
            self._dispatch(events)
        elif line.startswith(b"data:"):
            value = line[5:].removeprefix(b" ")
            self._data.append(value.decode("utf-8", "replace"))
            self._data_bytes += len(value)
            self._check(0)

    def _check(self, unread_bytes: int) -> None:
        if unread_bytes + self._data_bytes > self._max_event_bytes:
            raise EventTooLong(f"an event of more than {self._max_event_bytes} bytes")

    def _dispatch(self, events: list[str]) -> None:
        if self._data:
            events.append("\n".join(self._data))
            self._data, self._data_bytes = [], 0
