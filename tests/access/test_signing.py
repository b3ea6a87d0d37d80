"""Access tokens: what is believed, and every way in which one is not."""

import base64
import json
import uuid
from collections.abc import Mapping
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from bottega.access.signing import ACCESS_SECONDS, LEEWAY_SECONDS, BadTokenSecret, Claims, InvalidToken, TokenKeys
from bottega.access.types import Scope
from tests.access.scene import ISSUER, OLDER, SECRET, StillClock

CLAIMS = Claims(user_id=7, sign_in_id=uuid.UUID(int=1), scopes=frozenset({Scope.PROJECTS_READ, Scope.ADMIN}))


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
def keys(clock: StillClock) -> TokenKeys:
    return TokenKeys([SECRET, OLDER], issuer=ISSUER, clock=clock)


def signed(keys: TokenKeys, *, algorithm: str = "HS256", key: Any = None, header: Any = None, **changes: Any) -> str:
    """Return a token of ours, signed with our own key unless another is given, with some claims changed or dropped."""
    good = keys.sign(CLAIMS).token
    said = jwt.decode(good, options={"verify_signature": False}) | changes
    given = {"typ": "at+jwt", "kid": keys._newest.kid, **(header or {})}
    return jwt.encode(
        {name: value for name, value in said.items() if value is not ...},
        keys._newest.signing if key is None else key,
        algorithm=algorithm,
        headers=given,
    )


def encoded(part: Mapping[str, Any] | bytes) -> str:
    raw = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def test_what_was_signed_is_read(keys: TokenKeys) -> None:
    access = keys.sign(CLAIMS)
    assert keys.read(access.token) == CLAIMS
    assert access.expires_in_seconds == ACCESS_SECONDS == 900
    assert keys.read(signed(keys)) == CLAIMS


def test_a_token_says_all_that_it_should(keys: TokenKeys, clock: StillClock) -> None:
    token = keys.sign(CLAIMS).token
    said = jwt.decode(token, options={"verify_signature": False})
    now = int(clock.now().timestamp())
    assert said.pop("jti") != jwt.decode(keys.sign(CLAIMS).token, options={"verify_signature": False})["jti"]
    assert said == {
        "iss": ISSUER,
        "aud": "bottega",
        "sub": "7",
        "sid": str(CLAIMS.sign_in_id),
        "iat": now,
        "nbf": now,
        "exp": now + 900,
        "scope": "admin projects:read",
    }
    assert jwt.get_unverified_header(token) == {"alg": "HS256", "typ": "at+jwt", "kid": keys._newest.kid}


NOT_OURS: Mapping[str, Any] = {
    "another issuer": {"iss": "https://elsewhere.test"},
    "another audience": {"aud": "elsewhere"},
    "our audience among others": {"aud": ["elsewhere"]},
    "no issuer": {"iss": ...},
    "no audience": {"aud": ...},
    "no subject": {"sub": ...},
    "no sign-in": {"sid": ...},
    "no id": {"jti": ...},
    "no scope": {"scope": ...},
    "no end": {"exp": ...},
    "no beginning": {"nbf": ...},
    "no time of issue": {"iat": ...},
    "a subject that is no number": {"sub": "ada"},
    "a subject that is negative": {"sub": "-7"},
    "nobody": {"sub": "0"},
    "a subject beyond any account": {"sub": "99999999999"},
    "a scope that is none": {"scope": "projects:read everything"},
    "scopes as a list": {"scope": ["projects:read"]},
    "a sign-in that is no id": {"sid": "x"},
    "a sign-in that is a number": {"sid": 7},
    "an end that is true": {"exp": True},
    "an end that is a fraction": {"exp": 1e12},
    "an end that is infinite": {"exp": float("inf")},
    "an end that is a text": {"exp": "99999999999"},
    "an end of nothing": {"exp": None},
}


@pytest.mark.parametrize("changes", NOT_OURS.values(), ids=NOT_OURS)
def test_claims_that_are_not_as_we_write_them_are_refused(keys: TokenKeys, changes: Mapping[str, Any]) -> None:
    with pytest.raises(InvalidToken):
        keys.read(signed(keys, **changes))


def test_a_token_counts_from_its_beginning_to_its_end_and_a_little_more(keys: TokenKeys, clock: StillClock) -> None:
    token = keys.sign(CLAIMS).token
    for seconds, counts in ((0, True), (ACCESS_SECONDS + LEEWAY_SECONDS - 1, True), (1, False)):
        clock.go(seconds)
        assert counts_now(keys, token) is counts
    clock.go(-ACCESS_SECONDS - 2 * LEEWAY_SECONDS)
    assert counts_now(keys, token)
    clock.go(-1)
    assert not counts_now(keys, token)
    assert LEEWAY_SECONDS <= 10


def counts_now(keys: TokenKeys, token: str) -> bool:
    try:
        keys.read(token)
    except InvalidToken:
        return False
    return True


def test_other_algorithms_are_refused_whatever_they_are_signed_with(keys: TokenKeys) -> None:
    ours = keys._newest.signing
    rsa_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    for algorithm, key in (("HS384", ours * 2), ("HS512", ours * 2), ("RS256", rsa_key)):
        with pytest.raises(InvalidToken):
            keys.read(signed(keys, algorithm=algorithm, key=key))


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", "", "HS256 ", "hs256", None, 5, ["HS256"]], ids=repr)
@pytest.mark.parametrize("signature", ["", "kept"])
def test_a_token_without_a_signature_is_refused_however_it_is_called(
    keys: TokenKeys, alg: object, signature: str
) -> None:
    header, claims, kept = keys.sign(CLAIMS).token.split(".")
    forged = json.loads(base64.urlsafe_b64decode(header + "==")) | {"alg": alg}
    with pytest.raises(InvalidToken):
        keys.read(f"{encoded(forged)}.{claims}.{kept if signature else ''}")


@pytest.mark.parametrize(
    "header",
    [
        {"kid": "0" * 16},
        {"kid": None},
        {"kid": ["a"]},
        {"kid": {"a": 1}},
        {"kid": "../../../../dev/null"},
        {"typ": "JWT"},
        {"jku": "https://elsewhere.test/keys"},
        {"jwk": {"kty": "oct", "k": "AA"}},
        {"crit": ["exp"]},
        {"b64": False, "crit": ["b64"]},
    ],
    ids=str,
)
def test_a_header_that_is_not_as_we_write_it_is_refused(keys: TokenKeys, header: Mapping[str, Any]) -> None:
    good, claims, signature = keys.sign(CLAIMS).token.split(".")
    forged = json.loads(base64.urlsafe_b64decode(good + "==")) | header
    with pytest.raises(InvalidToken):
        keys.read(f"{encoded(forged)}.{claims}.{signature}")


def test_a_good_signature_does_not_excuse_a_header_of_others(keys: TokenKeys) -> None:
    for header in ({"typ": "JWT"}, {"jku": "https://elsewhere.test/keys"}):
        with pytest.raises(InvalidToken):
            keys.read(signed(keys, header=header))


def test_every_single_changed_character_is_noticed(keys: TokenKeys) -> None:
    token = keys.sign(CLAIMS).token
    last = len(token) - 1  # its lowest two bits are padding
    for place in range(0, last, 7):
        other = "A" if token[place] != "A" else "B"
        with pytest.raises(InvalidToken):
            keys.read(token[:place] + other + token[place + 1 :])


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "a.b.c",
        "a.b.c.d",
        "é.b.c",
        "\ud800.b.c",
        "a" * 2001,
        "." * 2000,
        f"{encoded(b'[' * 900)}.{encoded(b'{}')}.AAAA",
        f"{encoded(b'null')}.{encoded(b'{}')}.AAAA",
        f"{encoded(bytes([255, 254]))}.{encoded(b'{}')}.AAAA",
    ],
    ids=lambda token: repr(token[:12]),
)
def test_what_is_no_token_is_refused(keys: TokenKeys, token: str) -> None:
    with pytest.raises(InvalidToken):
        keys.read(token)


def test_keys_are_replaced_one_after_the_other(clock: StillClock) -> None:
    def ring(*secrets: bytes) -> TokenKeys:
        return TokenKeys(secrets, issuer=ISSUER, clock=clock)

    old = ring(OLDER).sign(CLAIMS).token
    new = ring(SECRET, OLDER).sign(CLAIMS).token
    assert jwt.get_unverified_header(old)["kid"] != jwt.get_unverified_header(new)["kid"]
    assert counts_now(ring(SECRET, OLDER), old)
    assert counts_now(ring(SECRET), new)
    assert not counts_now(ring(SECRET), old)
    assert not counts_now(ring(OLDER), new)


def test_another_key_of_the_ring_under_this_kid_is_refused(keys: TokenKeys, clock: StillClock) -> None:
    older = TokenKeys([OLDER], issuer=ISSUER, clock=clock)
    with pytest.raises(InvalidToken):
        keys.read(signed(older, header={"kid": keys._newest.kid}))


def test_nothing_is_signed_with_the_secret_itself(keys: TokenKeys) -> None:
    with pytest.raises(InvalidToken):
        keys.read(signed(keys, key=SECRET))
    key = keys._newest
    assert len({SECRET, key.signing, key.chaining, key.hiding}) == 4
    assert SECRET.hex() not in repr(keys._newest)


@pytest.mark.parametrize("secrets", [[], [b""], [b"short"], [SECRET, b"x" * 31], [SECRET + b"x"]])
def test_what_is_no_secret_is_refused(clock: StillClock, secrets: list[bytes]) -> None:
    with pytest.raises(BadTokenSecret):
        TokenKeys(secrets, issuer=ISSUER, clock=clock)
