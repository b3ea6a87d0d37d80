"""OpenRouter's GET /models: entries as it lists them, whole or in pages when it is asked for pages."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tests.fakes.http_server import HttpResponse


def listed(name: Any, *, answers: Sequence[str] = ("text",), **pricing: Any) -> dict[str, Any]:
    """Return one entry; prices are in US dollars per token, as strings, unless a test wants nonsense."""
    return {
        "id": name,
        "canonical_slug": name,
        "context_length": 200_000,
        "architecture": {"input_modalities": ["text", "image"], "output_modalities": list(answers)},
        "pricing": pricing,
    }


SAGE = listed(
    "acme/sage",
    prompt="0.00000125",
    completion="0.00001",
    input_cache_read="0.000000125",
    input_cache_write="0.0000015625",
    internal_reasoning="0",
    request="0",
    image="0.00516",
    web_search="0",
    overrides=[
        {
            "min_prompt_tokens": 200_001,
            "prompt": "0.0000025",
            "completion": "0.000015",
            "input_cache_read": "0.00000025",
            "input_cache_write": "0.000003125",
        }
    ],
)
OWL = listed("acme/owl", prompt="0.0000001", completion="0.0000004")
FREE = listed("acme/owl:free", prompt="0", completion="0")
BROKEN: Mapping[str, tuple[dict[str, Any], str]] = {
    "negative": (listed("x/negative", prompt="-1", completion="-1"), "below zero"),
    "nan": (listed("x/nan", prompt="NaN", completion="0.001"), "not a number"),
    "infinite": (listed("x/infinite", prompt="0.001", completion="Infinity"), "not a number"),
    "absurd": (listed("x/absurd", prompt="0.0100001", completion="0.001"), "absurd"),
    "overflowing": (listed("x/overflowing", prompt="1e999999", completion="0.001"), "absurd"),
    "words": (listed("x/words", prompt="cheap", completion="0.001"), "not a number"),
    "endless": (listed("x/endless", prompt="0." + "1" * 5000, completion="0.001"), "not a number"),
    "boolean": (listed("x/boolean", prompt=True, completion="0.001"), "not a number"),
    "nested": (listed("x/nested", prompt={"usd": 1}, completion="0.001"), "not a number"),
    "half": (listed("x/half", prompt="0.001"), "no completion price"),
    "other half": (listed("x/other-half", completion="0.001"), "no prompt price"),
    "null": (listed("x/null", prompt=None, completion="0.001"), "no prompt price"),
    "unpriced": ({"id": "x/unpriced", "object": "model"}, "no price is listed"),
    "list": ({"id": "x/list", "pricing": [1]}, "no price is listed"),
    "painter": (listed("x/painter", answers=("image", "text"), prompt="0.001", completion="0.001"), "images"),
    "painter by price": (listed("x/p2", prompt="0.001", completion="0.001", image_output="0.04"), "images"),
    "surcharge": (listed("x/surcharge", prompt="0.001", completion="0.001", discount=-0.5), "discount"),
    "odd request": (listed("x/request", prompt="0.001", completion="0.001", request="-3"), "request price"),
    "odd tier": (listed("x/tier", prompt="0.001", completion="0.001", overrides=[{"min_prompt_tokens": -1}]), "tiers"),
    "odd tier price": (
        listed("x/tp", prompt="0.001", completion="0.001", overrides=[{"min_prompt_tokens": 9, "prompt": "?"}]),
        "prompt price",
    ),
}


def models_answer(models: Sequence[Any] | HttpResponse, *, query: Mapping[str, str]) -> HttpResponse:
    """Answer GET /models. Pages come only to those who ask for them."""
    if isinstance(models, HttpResponse):
        return models
    offset = int(query.get("offset", "0"))
    end = offset + min(int(query["limit"]), 1000) if "limit" in query else None
    body = {"data": list(models)[offset:end]}
    return HttpResponse(headers={"content-type": "application/json"}, body=json.dumps(body).encode())
