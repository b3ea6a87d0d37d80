"""What a provider lists: prices as they are meant, and lists as they should not be."""

import asyncio
import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes.catalogue import BROKEN, FREE, OWL, SAGE, listed
from tests.fakes.http_server import HttpRequest, HttpResponse, HttpServer
from tests.fakes.providers import FakeProviders
from tests.llm.requests import QUICK, SECRET, OneKey, gateway

from bottega.llm.catalogue import DEAREST_USD, Catalogue, ListedRates, ListedTier, Listing
from bottega.llm.client import LLMClient, UnknownProvider
from bottega.llm.errors import AuthenticationFailed, MalformedResponse, Overloaded, Stalled
from bottega.llm.openrouter import OpenAIChat
from bottega.llm.openrouter_catalogue import read_catalogue
from bottega.llm.types import ModelName

PLAIN = {"prompt": "0.000001", "completion": "0.000004"}


def read(*entries: Any) -> Catalogue:
    return read_catalogue(json.dumps({"data": entries}).encode(), provider="openrouter")


def price(**pricing: Any) -> Listing:
    return read(listed("acme/sage", **(PLAIN | pricing))).listings["acme/sage"]


def test_prices_per_token_become_prices_per_million_with_their_tiers() -> None:
    assert read(SAGE).listings == {
        "acme/sage": Listing(
            rates=ListedRates(
                input=Decimal("1.25"),
                output=Decimal(10),
                cached=Decimal("0.125"),
                cache_write=Decimal("1.5625"),
                reasoning=None,  # listed at "0": billed as output
            ),
            tiers=(
                ListedTier(
                    above_tokens=200_000,
                    rates=ListedRates(
                        input=Decimal("2.5"),
                        output=Decimal(15),
                        cached=Decimal("0.25"),
                        cache_write=Decimal("3.125"),
                    ),
                ),
            ),
            per_input_image=Decimal("0.00516"),
        )
    }


def test_a_price_of_zero_is_read_as_zero_for_somebody_else_to_doubt() -> None:
    assert read(FREE).listings["acme/owl:free"].rates == ListedRates(input=Decimal(0), output=Decimal(0))


def test_a_price_written_as_a_number_keeps_its_digits() -> None:
    body = b'{"data": [{"id": "a/b", "pricing": {"prompt": 0.00000012345, "completion": 0}}]}'
    assert read_catalogue(body, provider="p").listings["a/b"].rates.input == Decimal("0.12345")


def test_of_overrides_the_last_one_wins_and_what_it_leaves_out_stays() -> None:
    found = price(
        overrides=[
            {"min_prompt_tokens": 101, "prompt": "0.000002", "completion": "0.000008"},
            {"min_prompt_tokens": 101, "prompt": "0.000003"},
            {"min_prompt_tokens": 1001, "completion": "0.000009"},
        ]
    )
    assert found.rates == ListedRates(input=Decimal(1), output=Decimal(4))
    assert found.tiers == (
        ListedTier(above_tokens=100, rates=ListedRates(input=Decimal(3), output=Decimal(8))),
        ListedTier(above_tokens=1000, rates=ListedRates(input=Decimal(3), output=Decimal(9))),
    )


@pytest.mark.parametrize("condition", [{"utc_start": "0030", "utc_end": "0830"}, {"service_tier": "flex"}])
def test_of_prices_that_hold_only_at_times_the_dearest_is_taken(condition: dict[str, str]) -> None:
    cheaper = price(overrides=[condition | {"prompt": "0.0000005", "input_cache_read": "0.0000001"}])
    assert cheaper.rates == ListedRates(input=Decimal(1), output=Decimal(4), cached=Decimal(1))
    dearer = price(overrides=[condition | {"prompt": "0.000002", "request": "0.1"}])
    assert (dearer.rates.input, dearer.rates.output, dearer.per_request) == (Decimal(2), Decimal(4), Decimal("0.1"))
    late = price(overrides=[condition | {"min_prompt_tokens": 101, "completion": "0.000009"}])
    assert late.rates.output == Decimal(4)
    assert late.tiers == (ListedTier(above_tokens=100, rates=ListedRates(input=Decimal(1), output=Decimal(9))),)


def test_a_discount_makes_nothing_cheaper() -> None:
    assert price(discount=0.5) == price()


@pytest.mark.parametrize("kind", BROKEN)
def test_a_price_that_cannot_be_used_is_told_and_the_others_go_on(kind: str) -> None:
    entry, why = BROKEN[kind]
    found = read(SAGE, entry, OWL)
    assert set(found.listings) == {"acme/sage", "acme/owl"}
    assert why in found.unusable[entry["id"]]


@pytest.mark.parametrize("name", [None, 7, "", "a b", "a\nb", "x" * 256, "caf\u00e9", "\x1b[31m", []])
def test_an_entry_without_a_usable_name_is_told_by_its_place(name: Any) -> None:
    found = read(SAGE, listed(name, **PLAIN))
    assert found.unusable == {"(entry 2)": "it has no usable name"}
    assert list(found.listings) == ["acme/sage"]


@pytest.mark.parametrize("entry", [None, 7, "acme/sage", []])
def test_an_entry_that_is_no_object_spoils_nothing(entry: Any) -> None:
    assert list(read(entry, SAGE).listings) == ["acme/sage"]


def test_a_model_listed_twice_is_used_only_at_one_price() -> None:
    assert list(read(OWL, OWL).listings) == ["acme/owl"]
    twice = read(OWL, listed("acme/owl", **PLAIN), SAGE)
    assert (list(twice.listings), twice.unusable) == (
        ["acme/sage"],
        {"acme/owl": "it is listed twice, at different prices"},
    )


def test_a_server_that_lists_no_prices_prices_nothing() -> None:
    body = b'{"object": "list", "data": [{"id": "llama3", "object": "model", "owned_by": "library"}]}'
    found = OpenAIChat(base_url="http://localhost:11434/v1").catalogue(body)
    assert (found.listings, found.unusable) == ({}, {"llama3": "no price is listed"})


@pytest.mark.parametrize("body", [b"", b"<html>", b"null", b"[]", b"{}", b'{"data": {}}', b'{"data": "x"}', b"\xff"])
def test_what_is_no_list_of_models_says_so(body: bytes) -> None:
    with pytest.raises(MalformedResponse, match="list of models cannot be read"):
        OpenAIChat().catalogue(body)


odd = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["0", "-1", "1e9"])
)
keys = st.sampled_from(
    ["prompt", "completion", "request", "image", "input_cache_read", "discount", "min_prompt_tokens"]
)
prices = st.dictionaries(keys, odd | st.decimals(0, "0.001").map(str), max_size=6)


@given(pricing=prices, overrides=odd | st.lists(prices | odd, max_size=3))
def test_whatever_is_listed_a_price_is_sane_or_unusable(pricing: dict[str, Any], overrides: Any) -> None:
    body = json.dumps({"data": [{"id": "a/b", "pricing": pricing | {"overrides": overrides}}]})
    found = read_catalogue(body.replace("NaN", '"NaN"').replace("Infinity", "9").encode(), provider="p")
    assert set(found.listings) | set(found.unusable) == {"a/b"}
    for listing in found.listings.values():
        for rates in (listing.rates, *(tier.rates for tier in listing.tiers)):
            stated = (rates.input, rates.output, rates.cached, rates.cache_write, rates.reasoning)
            assert all(0 <= amount <= DEAREST_USD for amount in stated if amount is not None)
        thresholds = [tier.above_tokens for tier in listing.tiers]
        assert thresholds == sorted(set(thresholds))


# -- over HTTP --------------------------------------------------------------------------------------------------------


async def test_a_list_longer_than_a_page_is_read_whole(fake: FakeProviders, client: LLMClient) -> None:
    fake.models = [listed(f"acme/m{number}", **PLAIN) for number in range(1_200)]
    found = await client.catalogue(provider="openrouter")
    assert found is not None
    assert len(found.listings) == 1_200
    assert fake.catalogues_asked == 1


async def test_the_list_is_asked_for_with_a_key_or_without(fake: FakeProviders) -> None:
    async with gateway(fake, keys=OneKey(None)) as client:
        found = await client.catalogue(provider="openrouter")
    assert found is not None
    assert list(found.listings) == ["fake/model"]


async def test_a_provider_without_prices_in_its_list_is_not_asked(fake: FakeProviders, client: LLMClient) -> None:
    assert await client.catalogue(provider="google") is None
    assert fake.server.connections_accepted == 0


async def test_an_unknown_provider_is_named(client: LLMClient) -> None:
    with pytest.raises(UnknownProvider, match="local"):
        await client.catalogue(provider="local")


async def test_a_list_of_ten_megabytes_is_refused(fake: FakeProviders, client: LLMClient) -> None:
    fake.models = HttpResponse(body=b'{"data": [' + b" " * 10 * 1024**2 + b"]}")
    with pytest.raises(MalformedResponse, match="more than 8388608 bytes"):
        await client.catalogue(provider="openrouter")


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (HttpResponse(status=500, body=b"oops"), Overloaded),
        (
            HttpResponse(status=401, body=b'{"error": {"message": "no such key: %s"}}' % SECRET.encode()),
            AuthenticationFailed,
        ),
        (HttpResponse(body=b"<html>Sign in to the hotel's network</html>"), MalformedResponse),
        (HttpResponse(status=302, headers={"location": "http://127.0.0.1:1/"}), Exception),
    ],
    ids=["500", "401", "not JSON", "redirect"],
)
async def test_a_provider_that_fails_is_an_error_without_the_key(
    fake: FakeProviders, client: LLMClient, answer: HttpResponse, error: type[Exception]
) -> None:
    fake.models = answer
    with pytest.raises(error) as caught:
        await client.catalogue(provider="openrouter")
    assert SECRET not in str(caught.value)


async def test_a_provider_that_says_nothing_is_given_up() -> None:
    async def silent(request: HttpRequest) -> HttpResponse:
        del request
        await asyncio.Event().wait()
        raise AssertionError

    async with HttpServer(silent) as server:
        hasty = replace(QUICK, catalogue_seconds=0.1)
        dialect = OpenAIChat(base_url=server.url)
        client = LLMClient(dialects=[dialect], keys=OneKey(), patience=hasty)
        with pytest.raises(Stalled, match=r"did not list its models in 0.1 s"):
            await client.catalogue(provider="openrouter")
        await client.close()


def test_names_of_ours_hold_the_names_of_theirs() -> None:
    assert ModelName(provider="openrouter", name="acme/owl:free") == ModelName.parse("openrouter/acme/owl:free")
