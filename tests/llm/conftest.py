"""A gateway, and the providers it talks to over HTTP."""

from collections.abc import AsyncIterator

import pytest
from tests.fakes.providers import FakeProviders
from tests.llm.requests import gateway

from bottega.llm.client import LLMClient


@pytest.fixture
async def fake() -> AsyncIterator[FakeProviders]:
    async with FakeProviders() as fake:
        yield fake


@pytest.fixture
async def client(fake: FakeProviders) -> AsyncIterator[LLMClient]:
    async with gateway(fake) as client:
        yield client
