"""`GET /metrics` is answered while the loop hangs, while the database is down, and however many ask at once."""

import asyncio
import http.client
import socket
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from bottega.telemetry import exposition, metrics
from bottega.telemetry.exposition import Look, MetricsPage, MetricsUnavailable, serve_metrics
from bottega.telemetry.loop import LoopWatch
from bottega.telemetry.metrics import Rows

ROWS = Rows(runs={"ready": 2, "paused": 1}, due_unclaimed_age_seconds=7.5, outbox_lag_seconds=0, holds_open=3)


@dataclass(kw_only=True)
class Looking:
    rows: Rows | None = ROWS
    takes_seconds: float = 0
    times: int = 0

    async def __call__(self) -> Rows | None:
        self.times += 1
        await asyncio.sleep(self.takes_seconds)
        return self.rows


def get(port: int, path: str = "/metrics") -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def samples(page: str) -> dict[str, float]:
    lines = [line.rpartition(" ") for line in page.splitlines() if not line.startswith("#")]
    return {name: float(number) for name, _, number in lines}


@asynccontextmanager
async def serving(look: Look, *, kept_seconds: float = 60) -> AsyncIterator[int]:
    watch = LoopWatch(every_seconds=0.02)
    page = MetricsPage(look=look, watch=watch, kept_seconds=kept_seconds)
    async with watch.watching():
        with serve_metrics(page, host="127.0.0.1", port=0) as port:
            yield port


async def test_a_scrape_says_what_the_rows_say_and_what_the_process_counted() -> None:
    before = metrics.value("bottega_claims_total", result="ok")
    metrics.claimed(result="ok")
    async with serving(Looking()) as port:
        status, page = await asyncio.to_thread(get, port)
    said = samples(page)
    assert status == 200
    assert said['bottega_runs{state="ready"}'] == 2
    assert said["bottega_due_unclaimed_age_seconds"] == 7.5
    assert said["bottega_holds_open"] == 3
    assert said["bottega_database_up"] == 1
    assert said['bottega_claims_total{result="ok"}'] == before + 1
    assert "process_resident_memory_bytes" in said


async def test_without_the_database_the_process_still_tells_of_itself() -> None:
    async with serving(Looking(rows=None)) as port:
        _, page = await asyncio.to_thread(get, port)
    said = samples(page)
    assert said["bottega_database_up"] == 0
    assert "process_resident_memory_bytes" in said
    assert not [name for name in said if name.startswith(("bottega_runs", "bottega_due", "bottega_holds"))]


async def test_a_storm_of_scrapes_looks_once() -> None:
    looking = Looking(takes_seconds=0.05)
    async with serving(looking) as port:
        answers = await asyncio.gather(*(asyncio.to_thread(get, port) for _ in range(12)))
    assert {status for status, _ in answers} == {200}
    assert looking.times == 1


async def test_a_page_is_made_anew_when_it_is_old() -> None:
    looking = Looking()
    async with serving(looking, kept_seconds=0) as port:
        await asyncio.to_thread(get, port)
        looking.rows = None
        _, page = await asyncio.to_thread(get, port)
    assert samples(page)["bottega_database_up"] == 0
    assert looking.times == 2


async def test_a_hanging_loop_is_seen_in_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exposition, "LOOK_SECONDS", 0.1)
    pages: list[str] = []
    async with serving(Looking()) as port:
        await asyncio.sleep(0.05)
        asker = threading.Thread(target=lambda: (time.sleep(0.3), pages.append(get(port)[1])))  # type: ignore[func-returns-value]
        asker.start()
        asker.join()  # the loop hangs meanwhile
    said = samples(pages[0])
    assert said["bottega_loop_lag_seconds"] > 0.2
    assert said["bottega_database_up"] == 0


async def test_a_lag_is_remembered_after_the_loop_goes_on() -> None:
    watch = LoopWatch(every_seconds=0.01)
    async with watch.watching():
        await asyncio.sleep(0.03)
        assert watch.lag_seconds() < 0.1
        time.sleep(0.15)  # noqa: ASYNC251  # the fault that is watched for
        await asyncio.sleep(0.03)
        assert watch.lag_seconds() > 0.1


@pytest.mark.parametrize("path", ["/", "/metrics/", "/metrics.json", "/%2e%2e/etc/passwd", "/" + "x" * 4000])
async def test_nothing_else_is_there(path: str) -> None:
    looking = Looking()
    async with serving(looking) as port:
        status, body = await asyncio.to_thread(get, port, path)
    assert status == 404
    assert "bottega_" not in body
    assert looking.times == 0


async def test_clients_that_say_nothing_are_few_and_are_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exposition._Handler, "timeout", 0.3)
    async with serving(Looking()) as port:
        silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(exposition.AT_ONCE + 4)]
        await asyncio.sleep(0.1)
        over = await asyncio.to_thread(silent[-1].recv, 1)
        assert over == b"", "beyond a few at once nobody is let in"
        await asyncio.sleep(0.5)
        assert (await asyncio.to_thread(get, port))[0] == 200
        for each in silent:
            each.close()


async def test_rubbish_gets_an_error_and_the_next_scrape_an_answer() -> None:
    async with serving(Looking()) as port:
        for said in (b"\xff\xfe\x00\r\n\r\n", b"POST /metrics HTTP/1.1\r\n\r\n", b"GET\r\n\r\n"):
            with socket.create_connection(("127.0.0.1", port)) as line:
                line.sendall(said)
                line.settimeout(5)
                answer = await asyncio.to_thread(line.recv, 100)
                assert b" 200 " not in answer
        assert (await asyncio.to_thread(get, port))[0] == 200


async def test_a_taken_port_is_said_plainly() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(MetricsUnavailable, match="Choose another METRICS_PORT or none"),
        serve_metrics(bytes, host="127.0.0.1", port=taken.getsockname()[1]),
    ):
        pass


async def test_an_address_of_another_machine_is_said_plainly() -> None:
    with pytest.raises(MetricsUnavailable), serve_metrics(bytes, host="203.0.113.1", port=0):
        pass
