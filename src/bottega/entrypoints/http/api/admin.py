"""What admins see and do: accounts, credits, prices, the platform's keys, what it all costs, and what needs them.

Each deed is put on record in the transaction it is done in (`access/audit`): who, on whom, before and after.
"""

import hashlib
import re
import uuid
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Literal

from fastapi import APIRouter, Query, status
from pydantic import BeforeValidator, Field, StrictStr

from bottega.access import administration, audit
from bottega.access.types import Role
from bottega.billing.usage_report import Dimension, UsageReport, Window, usage_report
from bottega.core.ids import new_id
from bottega.entrypoints.http.api import keys as own_keys
from bottega.entrypoints.http.api.house import Admin, OnceKey, TheHouse
from bottega.entrypoints.http.api.keys import Fingerprint, NewProviderKey, ProviderKey, ProviderKeys
from bottega.entrypoints.http.api.route import ApiRoute
from bottega.entrypoints.http.api.wire import (
    LARGEST_ID,
    Asked,
    Cursor,
    Exact,
    Limit,
    Page,
    PersonId,
    Told,
    problems,
    read_row,
    row_cursor,
)
from bottega.entrypoints.http.identity import actor_of
from bottega.keys import store
from bottega.orchestration import funding
from bottega.orchestration.commands import deeds
from bottega.orchestration.views.attention import needing_attention
from bottega.users import service as users

router = APIRouter(prefix="/v1/admin", tags=["Administration"], route_class=ApiRoute)

LARGEST_GRANT = Decimal(1_000_000)


def _is_written_out(text: object) -> object:
    """Refuse seconds since 1970, which would be taken for a day."""
    if isinstance(text, str) and not _DAY.fullmatch(text):
        raise ValueError("write a day as in 2026-11-21")
    return text


_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
Day = Annotated[date, BeforeValidator(_is_written_out)]


class Account(Told):
    id: int
    username: str | None
    email: str | None
    telegram_user_id: int | None
    role: str
    status: str
    credit_balance: Exact
    credit_held: Exact
    created_at: datetime


class NewGrant(Asked):
    credits: Annotated[Decimal, Field(ge=Decimal("0.01"), le=LARGEST_GRANT, decimal_places=2, allow_inf_nan=False)] = (
        Field(examples=["100"])
    )
    reason: StrictStr = Field(min_length=1, max_length=200, examples=["A trial for the school"])


class Granted(Told):
    credits: Exact
    balance_after: Exact
    repeated: bool = Field(description="It had been given before, under the same key.")


class AccountChange(Asked):
    """What is left out stays."""

    role: Role | None = None
    status: Literal["active", "suspended"] | None = None
    reason: StrictStr = Field(min_length=1, max_length=200, examples=["Asked for by mail"])


class UsageLine(Told):
    label: str
    calls: int
    input_tokens: int
    output_tokens: int
    credits: Exact
    revenue_usd: Exact
    cost_usd: Exact
    margin_usd: Exact
    orphan_usd: Exact
    failed_usd: Exact
    fenced_usd: Exact
    unbilled_usd: Exact


class UsageSummary(Told):
    items: list[UsageLine]
    total: UsageLine
    given_credits: Exact
    bought_credits: Exact


class RunInNeed(Told):
    run_id: uuid.UUID
    project_id: uuid.UUID
    user_id: int
    title: str
    phase: str
    state: str
    stop_code: str | None
    reason: str | None
    since: datetime


class RunsInNeed(Told):
    items: list[RunInNeed]


class AuditLine(Told):
    id: int
    at: datetime
    actor_user_id: int | None = Field(description="Null for the operator at the command line.")
    request_id: str | None
    action: str = Field(examples=["credits.granted"])
    subject_user_id: int | None
    subject: str | None
    before: dict[str, str | int | bool | None] | None
    after: dict[str, str | int | bool | None] | None


@router.get("/users")
async def list_users(_: Admin, house: TheHouse, limit: Limit = 20, cursor: Cursor = None) -> Page[Account]:
    """List accounts, newest first."""
    before = read_row(cursor)
    async with house.database.reading() as session:
        found = await users.list_people(
            session, limit=limit + 1, before=None if before is None else min(before, LARGEST_ID)
        )
    items = [Account.model_validate(one) for one in found[:limit]]
    return Page(items=items, next_cursor=row_cursor(items[-1].id) if len(found) > limit else None)


@router.get("/users/{user_id}", responses=problems(404))
async def read_user(user_id: PersonId, _: Admin, house: TheHouse) -> Account:
    """Read an account."""
    return await _account(house, user_id)


@router.patch("/users/{user_id}", responses=problems(404, 409))
async def change_user(user_id: PersonId, change: AccountChange, who: Admin, house: TheHouse) -> Account:
    """Give an account another role, suspend it, or let it go on."""
    actor = actor_of(who)
    async with house.database.transaction() as session:
        if change.role is not None:
            await administration.set_role(session, actor=actor, user_id=user_id, role=change.role)
        if change.status == administration.SUSPENDED:
            await administration.suspend(session, actor=actor, user_id=user_id, reason=change.reason)
        elif change.status == administration.ACTIVE:
            await administration.restore(session, actor=actor, user_id=user_id, reason=change.reason)
    return await _account(house, user_id)


@router.post("/users/{user_id}/grants", status_code=status.HTTP_201_CREATED, responses=problems(404, 409))
async def grant_credits(user_id: PersonId, grant: NewGrant, who: Admin, house: TheHouse, key: OnceKey) -> Granted:
    """Give credits, as a row of the ledger; what waits for them goes on. With a key, they are given once."""
    name = str(new_id()) if key is None else hashlib.sha256(f"{who.user_id} {key.name}".encode()).hexdigest()
    async with house.database.transaction() as session:
        await deeds.once(session, user_id=who.user_id, key=key, act=_nothing_yet)  # refuses it for something else
        entry = await administration.grant_credits(
            session, actor=actor_of(who), user_id=user_id, credits=grant.credits, reason=grant.reason, key=name
        )
        await funding.wake_for_credits(session, user_id)
    return Granted.model_validate(entry)


@router.get("/keys")
async def list_platform_keys(_: Admin, house: TheHouse) -> ProviderKeys:
    """List the platform's kept keys."""
    return await own_keys.kept(house.database, owner=None)


@router.post("/keys", status_code=status.HTTP_201_CREATED, responses=problems(409))
async def add_platform_key(new: NewProviderKey, who: Admin, house: TheHouse, key: OnceKey) -> ProviderKey:
    """Keep a key for the platform's pool."""
    return await own_keys.add(
        house.database, vault=house.vault, new=new, owner=None, once=(who.user_id, key), actor=actor_of(who)
    )


@router.delete("/keys/{fingerprint}", status_code=status.HTTP_204_NO_CONTENT, responses=problems(404))
async def remove_platform_key(fingerprint: Fingerprint, who: Admin, house: TheHouse) -> None:
    """Remove a key of the pool."""
    async with house.database.transaction() as session:
        await store.remove(session, fingerprint=fingerprint, owner=None)
        await audit.record(session, actor=actor_of(who), action="key.removed", subject=fingerprint)


@router.get("/usage")
async def report_usage(
    _: Admin,
    house: TheHouse,
    by: Annotated[Dimension, Query(description="What is summed up in a line.")] = Dimension.DAY,
    since: Annotated[Day | None, Query(description="The first day, in UTC.")] = None,
    until: Annotated[Day | None, Query(description="The last day.")] = None,
) -> UsageSummary:
    """Report what calls cost and earned, by one dimension."""
    async with house.database.reading() as session:
        found = await usage_report(session, by=by, window=Window(since=since, until=until))
    return _summary(found)


@router.get("/attention")
async def list_runs_in_need(_: Admin, house: TheHouse) -> RunsInNeed:
    """List the runs that stopped and do not go on by themselves, those that wait longest first."""
    async with house.database.reading() as session:
        found = await needing_attention(session)
    return RunsInNeed(items=[RunInNeed.model_validate(one) for one in found])


@router.get("/audit")
async def read_audit_log(
    _: Admin,
    house: TheHouse,
    user_id: Annotated[int | None, Query(ge=1, le=LARGEST_ID, description="What was done to this account.")] = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Page[AuditLine]:
    """Read what admins did, newest first."""
    before = read_row(cursor)
    async with house.database.reading() as session:
        found = await audit.recorded(session, subject_user_id=user_id, before_id=before, limit=limit + 1)
    items = [
        AuditLine(
            id=one.id,
            at=one.at,
            actor_user_id=one.actor.user_id,
            request_id=one.actor.request_id,
            action=one.action,
            subject_user_id=one.subject_user_id,
            subject=one.subject,
            before=None if one.before is None else dict(one.before),
            after=None if one.after is None else dict(one.after),
        )
        for one in found[:limit]
    ]
    return Page(items=items, next_cursor=row_cursor(items[-1].id) if len(found) > limit else None)


async def _nothing_yet(_: object) -> deeds.Projects:
    return ()


async def _account(house: TheHouse, user_id: int) -> Account:
    async with house.database.reading() as session:
        found = await users.find_person(session, user_id=user_id)
    if found is None:
        raise administration.NoSuchAccount
    return Account.model_validate(found)


def _summary(found: UsageReport) -> UsageSummary:
    return UsageSummary(
        items=[UsageLine.model_validate(line) for line in found.lines],
        total=UsageLine.model_validate(found.total),
        given_credits=found.given_credits,
        bought_credits=found.bought_credits,
    )
