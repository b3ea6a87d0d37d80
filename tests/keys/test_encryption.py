"""Kept keys at rest: what is sealed opens in its own place with its own encryption key, and nowhere else."""

import secrets
import uuid
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bottega.keys.encryption import BadEncryptionKey, Keyring, KeyUnreadable, Place, Sealed

OLD, NEW = bytes(range(32)), bytes(range(100, 132))
RING = Keyring([NEW, OLD])
texts = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=600)
places = st.builds(
    Place,
    row_id=st.uuids(),
    user_id=st.none() | st.integers(min_value=1, max_value=2**31 - 1),
    provider=st.sampled_from(["google", "openrouter"]),
)
HERE = Place(row_id=uuid.UUID(int=1), user_id=7, provider="google")


@given(secret=texts, place=places)
def test_what_is_sealed_opens_in_its_place(secret: str, place: Place) -> None:
    sealed = RING.seal(secret, place=place)
    assert RING.open(sealed, place=place) == secret
    assert len(secret) < 8 or secret.encode() not in sealed.ciphertext
    assert sealed.version == Keyring([NEW]).newest


@given(secret=texts, here=places, there=places)
def test_it_opens_nowhere_else(secret: str, here: Place, there: Place) -> None:
    if here == there:
        return
    with pytest.raises(KeyUnreadable):
        RING.open(RING.seal(secret, place=here), place=there)


@pytest.mark.parametrize(
    "change",
    [{"row_id": uuid.UUID(int=2)}, {"user_id": 8}, {"user_id": None}, {"provider": "openrouter"}],
    ids=["another row", "another person", "the pool", "another provider"],
)
def test_moving_a_ciphertext_makes_it_unreadable(change: dict[str, object]) -> None:
    with pytest.raises(KeyUnreadable, match="other hands"):
        RING.open(RING.seal("a-provider-key", place=HERE), place=replace(HERE, **change))  # type: ignore[arg-type]


@given(secret=texts, position=st.integers(min_value=0), flip=st.integers(min_value=1, max_value=255))
def test_one_changed_byte_makes_it_unreadable(secret: str, position: int, flip: int) -> None:
    sealed = RING.seal(secret, place=HERE)
    spoiled = bytearray(sealed.ciphertext)
    spoiled[position % len(spoiled)] ^= flip
    with pytest.raises(KeyUnreadable):
        RING.open(replace(sealed, ciphertext=bytes(spoiled)), place=HERE)


@given(garbage=st.binary(max_size=64))
def test_garbage_is_unreadable_whatever_its_length(garbage: bytes) -> None:
    with pytest.raises(KeyUnreadable):
        RING.open(Sealed(ciphertext=garbage, version=RING.newest), place=HERE)


def test_no_two_ciphertexts_are_alike() -> None:
    sealed = {RING.seal("a-provider-key", place=HERE).ciphertext for _ in range(1000)}
    assert len({ciphertext[:12] for ciphertext in sealed}) == 1000


def test_older_keys_open_what_they_sealed_wherever_they_stand_in_the_ring() -> None:
    sealed = Keyring([OLD]).seal("a-provider-key", place=HERE)
    third = secrets.token_bytes(32)
    for keys in ([OLD], [NEW, OLD], [third, NEW, OLD], [third, OLD, NEW]):
        assert Keyring(keys).open(sealed, place=HERE) == "a-provider-key"
    with pytest.raises(KeyUnreadable, match="API_KEY_ENCRYPTION_KEY lacks"):
        Keyring([NEW]).open(sealed, place=HERE)


@pytest.mark.parametrize("keys", [[], [b""], [b"short"], [NEW, OLD[:31]], [NEW + b"x"]])
def test_a_ring_takes_keys_of_32_bytes_only(keys: list[bytes]) -> None:
    with pytest.raises(BadEncryptionKey):
        Keyring(keys)


def test_nothing_that_is_shown_holds_a_secret() -> None:
    sealed = RING.seal("a-provider-key", place=HERE)
    shown = f"{RING!r} {sealed!r}"
    for secret in ("a-provider-key", repr(NEW), NEW.hex(), repr(sealed.ciphertext)[2:-1]):
        assert secret not in shown
