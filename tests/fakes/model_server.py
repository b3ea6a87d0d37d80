"""A server that lends a step's model in OpenAI's dialect: as much of one as an editing program asks for.

    refiner = AiderRefiner(server=FakeModelServer(), ...)

It answers POST /chat/completions to whoever shows the token of the loan, and nothing after the loan ended.
"""

import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.fakes.http_server import HttpRequest, HttpResponse, HttpServer

from bottega.agents.refiner import Loan
from bottega.core.errors import AppError
from bottega.llm.types import LLM, CompletionRequest, Message, ModelName, Purpose


class FakeModelServer:
    def __init__(self) -> None:
        self.loans: list[Loan] = []

    @asynccontextmanager
    async def lend(self, llm: LLM) -> AsyncIterator[Loan]:
        token = f"loan-{secrets.token_hex(16)}"

        async def handle(request: HttpRequest) -> HttpResponse:
            if request.headers.get("authorization") != f"Bearer {token}":
                return _refused(401, "no such loan")
            if request.path != "/v1/chat/completions":
                return _refused(404, "no such place")
            try:
                completion = await llm.complete(_asked(json.loads(request.body)))
            except AppError as error:
                return _refused(error.http_status, error.message)
            return _answer(completion.text)

        async with HttpServer(handle) as server:
            loan = Loan(base_url=f"{server.url}/v1", token=token)
            self.loans.append(loan)
            yield loan


def _asked(body: dict[str, object]) -> CompletionRequest:
    turns = body["messages"]
    assert isinstance(turns, list)
    said = [(turn["role"], turn["content"]) for turn in turns]
    return CompletionRequest(
        model=ModelName.parse(str(body["model"])),
        system="\n".join(text for role, text in said if role == "system"),
        messages=tuple(Message(role=role, content=text) for role, text in said if role != "system"),
        max_output_tokens=100_000,
        purpose=Purpose.IMPLEMENT,
    )


def _answer(text: str) -> HttpResponse:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    reply = {"id": "1", "object": "chat.completion", "created": 0, "model": "lent", "choices": [choice], "usage": usage}
    return HttpResponse(headers={"content-type": "application/json"}, body=json.dumps(reply).encode())


def _refused(status: int, message: str) -> HttpResponse:
    body = {"error": {"message": message, "type": "error", "code": status}}
    return HttpResponse(status=status, headers={"content-type": "application/json"}, body=json.dumps(body).encode())
