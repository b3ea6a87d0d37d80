"""Requests and gateways the tests of this folder share."""

import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from tests.fakes.providers import FakeProviders

from bottega.llm.client import LeasedKey, LLMClient, NoProviderKey, Patience
from bottega.llm.errors import ProviderError
from bottega.llm.gemini import Gemini
from bottega.llm.openrouter import OpenAIChat
from bottega.llm.types import CompletionRequest, Message, ModelName, Purpose
from bottega.llm.wire import WireLimits

GEMINI = "google/gemini-2.5-pro"
OPENROUTER = "openrouter/deepseek/deepseek-chat"
SECRET = "sk-very-secret"
QUICK = Patience(
    first_word_seconds=10.0,
    progress_seconds=10.0,
    total_seconds=20.0,
    bill_polls_seconds=(0.0, 0.01, 0.02),
    bill_answer_seconds=5.0,
)
IMPATIENT = replace(QUICK, first_word_seconds=0.3, progress_seconds=0.3)


def a_request(
    model: str = GEMINI, *, schema: Mapping[str, Any] | None = None, text: str = "Hello"
) -> CompletionRequest:
    return CompletionRequest(
        model=ModelName.parse(model),
        system="You are terse.",
        messages=(Message(role="user", content=text),),
        max_output_tokens=1000,
        purpose=Purpose.PLAN,
        schema=schema,
        session="project-1",
    )


class OneKey:
    """A key source that notes what it is told."""

    def __init__(self, secret: str | None = SECRET) -> None:
        self._secret = secret
        self.successes = 0
        self.failures: list[ProviderError] = []
        self.owners: list[int | None] = []
        self.key_id = uuid.uuid4()

    async def acquire(self, provider: str, *, owner: int | None = None) -> LeasedKey:
        self.owners.append(owner)
        if self._secret is None:
            raise NoProviderKey(provider)
        return LeasedKey(provider=provider, secret=self._secret, fingerprint="0123456789ab", key_id=self.key_id)

    async def report_success(self, key: LeasedKey) -> None:
        assert key.fingerprint == "0123456789ab"
        self.successes += 1

    async def report_failure(self, key: LeasedKey, error: ProviderError) -> None:
        assert key.provider == error.provider
        self.failures.append(error)


@asynccontextmanager
async def gateway(
    fake: FakeProviders,
    *,
    keys: OneKey | None = None,
    patience: Patience = QUICK,
    limits: WireLimits | None = None,
    openrouter_extras: bool | None = True,
) -> AsyncIterator[LLMClient]:
    client = LLMClient(
        dialects=[
            Gemini(base_url=fake.gemini_url),
            OpenAIChat(base_url=fake.openrouter_url, openrouter_extras=openrouter_extras),
        ],
        keys=keys or OneKey(),
        patience=patience,
        limits=limits,
    )
    try:
        yield client
    finally:
        await client.close()
