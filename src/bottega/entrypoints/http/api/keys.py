"""A person's own provider keys: written and never read back. What is shown is a fingerprint and the last four."""

import uuid
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path, status
from pydantic import Field, SecretStr, StrictStr

from bottega.access import audit
from bottega.access.types import Actor
from bottega.db.transaction import Database
from bottega.entrypoints.http.api.house import KeyWriter, OnceKey, TheHouse
from bottega.entrypoints.http.api.route import ApiRoute
from bottega.entrypoints.http.api.wire import Asked, Told, problems
from bottega.keys import store
from bottega.keys.encryption import FINGERPRINT_LENGTH, Vault
from bottega.keys.store import KeptKey, NewKey
from bottega.orchestration.commands import deeds
from bottega.orchestration.commands.deeds import Key

router = APIRouter(prefix="/v1/keys", tags=["Own provider keys"], route_class=ApiRoute)

Fingerprint = Annotated[str, Path(pattern=f"^[0-9a-f]{{{FINGERPRINT_LENGTH}}}$", description="As the list shows it.")]


class NewProviderKey(Asked):
    provider: StrictStr = Field(max_length=100, examples=["openrouter"])
    key: SecretStr = Field(max_length=1000, description="The key itself. It is encrypted, and never shown again.")
    label: StrictStr | None = Field(default=None, max_length=200, examples=["Mine"])
    quota_group: StrictStr | None = Field(
        default=None, max_length=200, description="Keys of one account share its limits: give them one group."
    )


class ProviderKey(Told):
    id: uuid.UUID
    provider: str
    fingerprint: str
    last4: str
    label: str | None
    quota_group: str | None
    is_active: bool = Field(description="False when its provider refused it.")
    rests_seconds: float = Field(description="What is left of a pause after a limit of the provider's.")
    last_used_at: datetime | None
    last_error: str | None


class ProviderKeys(Told):
    items: list[ProviderKey]


@router.get("")
async def list_keys(who: KeyWriter, house: TheHouse) -> ProviderKeys:
    """List your own keys."""
    return await kept(house.database, owner=who.user_id)


@router.post("", status_code=status.HTTP_201_CREATED, responses=problems(409))
async def add_key(new: NewProviderKey, who: KeyWriter, house: TheHouse, key: OnceKey) -> ProviderKey:
    """Keep a key of your own: from then on your calls to its provider go to it, at the platform's fee alone."""
    return await add(house.database, vault=house.vault, new=new, owner=who.user_id, once=(who.user_id, key))


@router.delete("/{fingerprint}", status_code=status.HTTP_204_NO_CONTENT, responses=problems(404))
async def remove_key(fingerprint: Fingerprint, who: KeyWriter, house: TheHouse) -> None:
    """Remove a key of yours; what is on record of its calls stays."""
    async with house.database.transaction() as session:
        await store.remove(session, fingerprint=fingerprint, owner=who.user_id)


async def kept(database: Database, *, owner: int | None) -> ProviderKeys:
    async with database.reading() as session:
        found = await store.kept_by(session, owner=owner)
    return ProviderKeys(items=[ProviderKey.model_validate(one) for one in found])


async def add(
    database: Database,
    *,
    vault: Vault,
    new: NewProviderKey,
    owner: int | None,
    once: tuple[int, Key | None],
    actor: Actor | None = None,
) -> ProviderKey:
    """Keep a key, once under an idempotency key of this person's; what an admin does is put on record."""
    wanted = NewKey(
        provider=new.provider,
        secret=new.key.get_secret_value(),
        user_id=owner,
        label=new.label,
        quota_group=new.quota_group,
    )
    mark = vault.fingerprint(store.check(wanted))
    user_id, key = once
    async with database.transaction() as session:

        async def keep(_: object) -> deeds.Projects:
            await store.add(session, vault=vault, key=wanted)
            if actor is not None:
                await audit.record(session, actor=actor, action="key.added", subject=mark)
            return ()

        await deeds.once(session, user_id=user_id, key=key, act=keep)
        found = await store.kept_for(session, provider=new.provider, owner=owner)
    return ProviderKey.model_validate(_of(mark, found))


def _of(mark: str, found: tuple[KeptKey, ...]) -> KeptKey:
    for one in found:
        if one.fingerprint == mark:
            return one
    raise store.NoSuchKey(mark)  # it was kept under this idempotency key, and removed since
