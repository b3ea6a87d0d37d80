"""OpenAI's chat format, as values: what a tool may ask, and what it gets back.

What would change the reply and cannot be done (tools, images, several choices, stop words) is refused with a sentence,
because silence would be a lie. Hints that only colour it (top_p, seed, penalties) and unknown fields are ignored.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from bottega.core.errors import AppError
from bottega.llm.types import Completion, CompletionRequest, FinishReason, Message, ModelName, Purpose, UnknownModelName

DEFAULT_OUTPUT_TOKENS, MOST_OUTPUT_TOKENS = 8192, 65_536
MOST_MESSAGES = 1000
LONGEST_MODEL_NAME = 300
LARGEST_SCHEMA_BYTES = 65_536

_FINISHES = {FinishReason.STOP: "stop", FinishReason.LENGTH: "length", FinishReason.REFUSED: "content_filter"}
_REFUSED = {
    "tools": "Tools are not served here: ask for text.",
    "functions": "Functions are not served here: ask for text.",
    "tool_choice": "Tools are not served here: ask for text.",
    "function_call": "Functions are not served here: ask for text.",
    "logprobs": "Log probabilities are not served here.",
    "top_logprobs": "Log probabilities are not served here.",
    "logit_bias": "A bias on tokens is not served here.",
    "audio": "Audio is not served here: ask for text.",
    "prediction": "Predicted outputs are not served here.",
    "web_search_options": "Web search is not served here.",
    "stop": "Stop words are not served here: the reply would run past them.",
}
_HARMLESS: Mapping[str, tuple[object, ...]] = {"tool_choice": ("none", "auto"), "function_call": ("none", "auto")}


class InvalidRequest(AppError):
    """`param` names the field, as OpenAI's errors do."""

    code = "invalid_request"
    http_status = 400

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


def _text(content: object) -> object:
    """Join text parts; leave what is neither text nor parts to the type check."""
    if not isinstance(content, list):
        if isinstance(content, str):
            return content
        raise ValueError("must be text, or a list of text parts")
    texts = [
        part["text"]
        for part in content
        if isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)
    ]
    if len(texts) < len(content):
        raise ValueError("holds a part that is not text; only text is served here")
    return "".join(texts)


class _Model(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")


class _Said(_Model):
    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[str, BeforeValidator(_text)]
    tool_calls: Annotated[list[Any], Field(max_length=0)] | None = None


class _StreamOptions(_Model):
    include_usage: bool | None = None


class _JsonSchema(_Model):
    schema_: dict[str, Any] = Field(alias="schema")


class _ResponseFormat(_Model):
    type: Literal["text", "json_schema"]
    json_schema: _JsonSchema | None = None


class _Chat(_Model):
    model_config = ConfigDict(extra="allow")  # what else is asked is looked at by name, then ignored

    model: Annotated[str, Field(min_length=1, max_length=LONGEST_MODEL_NAME)]
    messages: Annotated[list[_Said], Field(min_length=1, max_length=MOST_MESSAGES)]
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    n: Literal[1] | None = None
    modalities: list[Literal["text"]] | None = None
    response_format: _ResponseFormat | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A chat request that can be answered. `model` is as the tool wrote it."""

    model: str
    streamed: bool
    with_usage: bool
    request: CompletionRequest

    def made_for(self, purpose: Purpose, *, session: str) -> CompletionRequest:
        return replace(self.request, purpose=purpose, session=session)


def parse(body: bytes) -> Asked:
    """Read a chat request.

    Raises:
        InvalidRequest: with the first fault, in a sentence.
    """
    try:
        chat = _Chat.model_validate_json(body)
    except ValidationError as error:
        raise _fault(error) from error
    _refuse_what_is_not_served(chat.model_extra or {})
    return Asked(
        model=chat.model,
        streamed=bool(chat.stream),
        with_usage=bool(chat.stream_options and chat.stream_options.include_usage),
        request=_request(chat),
    )


def _refuse_what_is_not_served(given: Mapping[str, Any]) -> None:
    for name, sentence in _REFUSED.items():
        if given.get(name) and given[name] not in _HARMLESS.get(name, ()):
            raise InvalidRequest(sentence, param=name)


def _fault(error: ValidationError) -> InvalidRequest:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    param = ".".join(str(part) for part in first["loc"] if not str(part).startswith(("function-", "constrained-")))
    message = first["msg"].removeprefix("Value error, ")
    return InvalidRequest(f"{param}: {message}." if param else f"The body cannot be read: {message}.", param=param)


def _request(chat: _Chat) -> CompletionRequest:
    system = "\n\n".join(said.content for said in chat.messages if said.role in {"system", "developer"})
    turns = tuple(
        Message(role=said.role, content=said.content) for said in chat.messages if said.role in {"user", "assistant"}
    )
    if not turns:
        raise InvalidRequest("messages: at least one must be the user's.", param="messages")
    wanted = chat.max_completion_tokens or chat.max_tokens or DEFAULT_OUTPUT_TOKENS
    return CompletionRequest(
        model=_model(chat.model),
        system=system,
        messages=turns,
        max_output_tokens=min(wanted, MOST_OUTPUT_TOKENS),
        purpose=Purpose.RELAY,
        temperature=chat.temperature,
        schema=_schema(chat.response_format),
    )


def _model(name: str) -> ModelName:
    try:
        return ModelName.parse(name)
    except UnknownModelName:
        return ModelName(provider="", name=name)  # it is none of ours; whoever looks it up says so


def _schema(wanted: _ResponseFormat | None) -> Mapping[str, Any] | None:
    if wanted is None or wanted.type == "text":
        return None
    if wanted.json_schema is None:
        raise InvalidRequest("response_format: json_schema.schema is missing.", param="response_format")
    schema = wanted.json_schema.schema_
    if len(json.dumps(schema)) > LARGEST_SCHEMA_BYTES:
        raise InvalidRequest("response_format: the schema is longer than 64 KiB.", param="response_format")
    return schema


# -- replies -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """What every piece of one reply begins with."""

    id: str
    created: int
    model: str

    def reply(self, completion: Completion, *, credits: Decimal | None) -> dict[str, Any]:
        message = {"role": "assistant", "content": completion.text, "refusal": None}
        choice = {"index": 0, "message": message, "finish_reason": _FINISHES[completion.finish], "logprobs": None}
        return {
            **self._named("chat.completion"),
            "choices": [choice],
            "usage": usage(completion),
            **_charged(credits),
        }

    def piece(self, text: str, *, first: bool) -> dict[str, Any]:
        delta = {"role": "assistant", "content": text} if first else {"content": text}
        return self._chunk({"index": 0, "delta": delta, "finish_reason": None})

    def finish(self, completion: Completion, *, credits: Decimal | None) -> dict[str, Any]:
        chunk = self._chunk({"index": 0, "delta": {}, "finish_reason": _FINISHES[completion.finish]})
        return {**chunk, **_charged(credits)}

    def usage(self, completion: Completion) -> dict[str, Any]:
        return {**self._named("chat.completion.chunk"), "choices": [], "usage": usage(completion)}

    def _chunk(self, choice: dict[str, Any]) -> dict[str, Any]:
        return {**self._named("chat.completion.chunk"), "choices": [choice]}

    def _named(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}


def usage(completion: Completion) -> dict[str, Any]:
    used = completion.usage
    return {
        "prompt_tokens": used.input_tokens,
        "completion_tokens": used.output_tokens,
        "total_tokens": used.input_tokens + used.output_tokens,
        "prompt_tokens_details": {"cached_tokens": used.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": used.reasoning_tokens},
    }


def _charged(credits: Decimal | None) -> dict[str, Any]:
    return {} if credits is None else {"bottega": {"credits": f"{credits:f}"}}


def listing(models: tuple[ModelName, ...]) -> dict[str, Any]:
    data = [{"id": str(model), "object": "model", "created": 0, "owned_by": model.provider} for model in models]
    return {"object": "list", "data": data}


def event(data: Mapping[str, Any]) -> bytes:
    """Return one server-sent event; JSON in ASCII holds no line break."""
    return b"data: " + json.dumps(data).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"
STILL_THERE = b": still working\n\n"
