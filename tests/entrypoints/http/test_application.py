"""The application over HTTP: probes, webhooks, the development checkout, and errors that give nothing away."""

import asyncio
import json
import socket
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import httpx2
import pytest
from structlog.testing import capture_logs

from bottega.billing.payments.types import Order
from bottega.core.clock import SystemClock
from bottega.core.errors import AppError
from bottega.entrypoints.http.application import Parts, create_app
from bottega.entrypoints.relay.calls import Calls
from bottega.entrypoints.relay.router import Relay
from bottega.entrypoints.relay.server import CannotListen, listen
from tests.entrypoints.relay.conftest import client, served


class BadSignature(AppError):
    code = "bad_signature"
    http_status = 400


@dataclass(kw_only=True)
class Outside:
    """Everything the application is handed, and what reached it."""

    received: list[tuple[str, bytes, Mapping[str, str]]] = field(default_factory=list)
    paid: list[uuid.UUID] = field(default_factory=list)
    raises: Exception | None = None
    slow_seconds: float = 0

    async def receive(self, *, gateway: str, body: bytes, headers: Mapping[str, str]) -> None:
        if self.raises:
            raise self.raises
        self.received.append((gateway, body, headers))

    async def dev_order(self, *, order_id: uuid.UUID) -> Order:
        if self.raises:
            raise self.raises
        return Order(
            id=order_id,
            user_id=1,
            gateway="development",
            package="buy_500",
            credits=Decimal(500),
            amount_minor=450,
            currency="usd",
            livemode=False,
            payer="1",
        )

    async def dev_pay(self, *, order_id: uuid.UUID) -> None:
        if self.raises:
            raise self.raises
        self.paid.append(order_id)

    async def ping(self) -> None:
        await asyncio.sleep(self.slow_seconds)
        if self.raises:
            raise self.raises

    async def admit(self, token: str) -> Any:
        raise self.raises or AssertionError(token)


@pytest.fixture
def outside() -> Outside:
    return Outside()


@pytest.fixture
async def http(outside: Outside) -> AsyncIterator[httpx2.AsyncClient]:
    relay = Relay(desk=outside, models=(), calls=Calls(), clock=SystemClock())
    parts = Parts(ping=outside.ping, relay=relay, webhooks=outside, development_payments=outside)
    async with served(create_app(parts)) as url, client(url) as made:
        yield made


async def test_it_says_that_it_runs(http: httpx2.AsyncClient) -> None:
    assert (await http.get("/")).json() == {"message": "AI Development Assistant API is running!"}


async def test_living_needs_nothing_and_being_ready_needs_the_database(
    http: httpx2.AsyncClient, outside: Outside
) -> None:
    assert (await http.get("/readyz")).status_code == 200
    outside.raises = ConnectionRefusedError("5432 at 10.0.0.1")
    assert (await http.get("/healthz")).status_code == 200
    answer = await http.get("/readyz")
    assert (answer.status_code, answer.json()["code"]) == (503, "not_ready")
    assert "10.0.0.1" not in answer.text


async def test_every_answer_is_guarded_and_named(http: httpx2.AsyncClient) -> None:
    ids = set()
    for path in ("/", "/nowhere", "/dev/checkout/x", "/v1/models"):
        answer = await http.get(path, headers={"X-Request-Id": "mine"})
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "server" not in answer.headers
        assert "access-control-allow-origin" not in answer.headers
        ids.add(answer.headers["x-request-id"])
    assert len(ids) == 4
    assert "mine" not in ids


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/docs", 404, "not_found"),
        ("GET", "/openapi.json", 404, "not_found"),
        ("GET", "/v1/nowhere", 404, "not_found"),
        ("GET", "/healthz/", 404, "not_found"),
        ("DELETE", "/healthz", 405, "method_not_allowed"),
        ("GET", "/webhooks/stripe", 405, "method_not_allowed"),
        ("GET", "/v1/chat/completions", 405, "method_not_allowed"),
        ("POST", "/webhooks/Stripe", 404, "not_found"),
        ("POST", "/webhooks/..%2f..%2fetc", 404, "not_found"),
        ("POST", "/webhooks/" + "a" * 31, 404, "not_found"),
    ],
)
async def test_what_is_not_there_is_said_in_the_same_shape(
    http: httpx2.AsyncClient, method: str, path: str, status: int, code: str
) -> None:
    answer = await http.request(method, path)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json()["detail"]


async def test_a_webhook_is_handed_on_byte_for_byte(http: httpx2.AsyncClient, outside: Outside) -> None:
    body = b'{"a": 1,\r\n "b": "\xff\x00"}'
    answer = await http.post("/webhooks/stripe", content=body, headers={"Stripe-Signature": "t=1,v1=ab"})
    assert answer.status_code == 200
    ((gateway, received, headers),) = outside.received
    assert (gateway, received) == ("stripe", body)
    assert headers["stripe-signature"] == headers["Stripe-Signature"] == "t=1,v1=ab"


async def test_a_webhook_that_is_not_believed_gets_its_status(http: httpx2.AsyncClient, outside: Outside) -> None:
    outside.raises = BadSignature("The signature does not fit.")
    answer = await http.post("/webhooks/stripe", content=b"{}")
    assert answer.status_code == 400
    assert (answer.json()["code"], answer.json()["detail"]) == ("bad_signature", "The signature does not fit.")


async def test_what_breaks_is_logged_once_and_told_without_its_trace(
    http: httpx2.AsyncClient, outside: Outside
) -> None:
    outside.raises = ZeroDivisionError("secret of ours")
    with capture_logs() as logged:
        answer = await http.post("/webhooks/stripe", content=b"{}")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert "secret" not in answer.text
    (failure,) = [entry for entry in logged if entry["event"] == "http.failed"]
    assert failure["error_id"] in answer.json()["detail"]
    outside.raises = None
    assert (await http.post("/webhooks/stripe", content=b"{}")).status_code == 200


async def test_a_webhook_of_a_mebibyte_is_taken_and_no_more(http: httpx2.AsyncClient, outside: Outside) -> None:
    assert (await http.post("/webhooks/stripe", content=b"x" * 1024 * 1024)).status_code == 200
    answer = await http.post("/webhooks/stripe", content=b"x" * (1024 * 1024 + 1))
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    assert len(outside.received) == 1


async def test_a_body_without_end_is_refused_while_it_is_read(http: httpx2.AsyncClient, outside: Outside) -> None:
    """Only two MiB are ever sent, and the request is never finished: the answer comes all the same."""
    reader, writer = await asyncio.open_connection("127.0.0.1", http.base_url.port)
    writer.write(b"POST /webhooks/stripe HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(32):
        writer.write(b"10000\r\n" + b"x" * 65_536 + b"\r\n")
    head = await asyncio.wait_for(reader.readuntil(b"\r\n"), timeout=5)
    assert b" 413 " in head
    writer.close()
    assert outside.received == []


async def test_a_body_is_refused_by_its_announced_length(http: httpx2.AsyncClient) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", http.base_url.port)
    writer.write(b"POST /webhooks/stripe HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n")
    assert b" 413 " in await asyncio.wait_for(reader.readuntil(b"\r\n"), timeout=5)
    writer.close()


async def test_a_request_that_is_none_does_not_hurt(http: httpx2.AsyncClient) -> None:
    for garbage in (
        b"\x00\x01\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nBad Header\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"a" * 99_999,
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", http.base_url.port)
        writer.write(garbage)
        assert b" 400 " in await asyncio.wait_for(reader.readuntil(b"\r\n"), timeout=5)
        writer.close()
    assert (await http.get("/healthz")).status_code == 200


async def test_a_log_line_holds_no_line_of_the_clients(http: httpx2.AsyncClient) -> None:
    with capture_logs() as logged:
        await http.get(
            "/nowhere%0d%0aSet-Cookie:%20a=b?token=brt_secret", headers={"Authorization": "Bearer brt_secret"}
        )
    (line,) = [entry for entry in logged if entry["event"] == "http.request"]
    assert "brt_secret" not in json.dumps({name: str(value) for name, value in line.items()})
    assert "\n" not in line["path"]


async def test_the_development_checkout_pays_with_one_button(http: httpx2.AsyncClient, outside: Outside) -> None:
    order = uuid.uuid4()
    page = await http.get(f"/dev/checkout/{order}")
    assert page.status_code == 200
    assert page.text.count("<button>") == 1
    assert "500.00 credits for 4.50 USD" in page.text
    assert "form-action 'self'" in page.headers["content-security-policy"]
    assert outside.paid == []
    assert (await http.post(f"/dev/checkout/{order}")).status_code == 200
    assert outside.paid == [order]
    answer = await http.post(f"/dev/checkout/{order}", content=b"x" * 5000)
    assert answer.status_code == 413
    assert (await http.get("/dev/checkout/<script>")).status_code == 404
    assert outside.paid == [order]


async def test_a_checkout_leads_back_to_a_page_that_pays_nothing(http: httpx2.AsyncClient, outside: Outside) -> None:
    for path, said in (("success", "arrive as soon as the payment is confirmed"), ("cancel", "Nothing was paid")):
        page = await http.get(f"/checkout/{path}?order={uuid.uuid4()}<script>")
        assert (page.status_code, said in page.text, "<script>" in page.text) == (200, True, False)
    assert (outside.paid, outside.received) == ([], [])


async def test_what_was_not_handed_in_is_not_there(outside: Outside) -> None:
    parts = Parts(ping=outside.ping, relay=Relay(desk=outside, models=(), calls=Calls(), clock=SystemClock()))
    async with served(create_app(parts)) as url, client(url) as http:
        assert (await http.post("/webhooks/stripe", content=b"{}")).status_code == 404
        assert (await http.get(f"/dev/checkout/{uuid.uuid4()}")).status_code == 404


def test_an_address_that_cannot_be_listened_on_is_said() -> None:
    with listen(host="127.0.0.1", port=0) as taken:
        for host, port in (("127.0.0.1", taken.getsockname()[1]), ("no such host", 0), ("256.1.1.1", 0), ("::z", 0)):
            with pytest.raises(CannotListen) as refused:
                listen(host=host, port=port)
            assert host in refused.value.message
    assert isinstance(taken, socket.socket)
