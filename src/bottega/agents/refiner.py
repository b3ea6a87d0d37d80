"""What a tool with an agent of its own needs from us: a model, reached as any OpenAI-compatible server is."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from bottega.llm.types import LLM


@dataclass(frozen=True, slots=True, kw_only=True)
class Loan:
    """Where a lent model answers, and the token it answers to. Both are dead when the loan ends."""

    base_url: str
    token: str = field(repr=False)


class ModelServer(Protocol):
    def lend(self, llm: LLM) -> AbstractAsyncContextManager[Loan]:
        """Serve exactly this model to whoever has the loan's token, until the block ends.

        Nothing is charged but what the model itself charges; calls under way when the block ends are cancelled.
        """
        ...
