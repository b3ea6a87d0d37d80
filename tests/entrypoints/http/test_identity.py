"""Who calls, over HTTP: every kind of token that does not count is 401, a scope that lacks is 403."""

import asyncio
import socket
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from bottega.access import opaque, personal_tokens
from bottega.access.door import Door
from bottega.access.personal_tokens import WantedToken
from bottega.access.signing import ACCESS_SECONDS, Claims, TokenKeys
from bottega.access.types import EVERYTHING, Identity, Scope
from bottega.db.transaction import Database
from bottega.users.tables import User
from tests.access.scene import ISSUER, Scene
from tests.access.test_signing import signed
from tests.database import MakeUser
from tests.entrypoints.http.doors import Doors, doors

CHALLENGE = "www-authenticate"


@pytest.fixture
async def here(database: Database, database_url: str) -> AsyncIterator[Doors]:
    async with doors(database, database_url=database_url) as made:
        yield made


async def personal(scene: Scene, user: User, *scopes: Scope, days: int = 1) -> str:
    wanted = WantedToken(name="t", scopes=frozenset(scopes), days=days)
    async with scene.database.transaction() as session:
        maker = Identity(user_id=user.id, role=user.role, scopes=EVERYTHING)
        return (await personal_tokens.create(session, maker=maker, wanted=wanted)).token


async def test_whoever_signed_in_is_known(here: Doors, make_user: MakeUser) -> None:
    user = await make_user()
    answer = await here.ask((await here.scene.signed_in(user)).access.token)
    assert answer.status_code == 200
    told = answer.json()
    assert (told["user_id"], told["role"], told["token_id"]) == (user.id, "person", None)
    assert told["scopes"] == sorted(set(Scope) - {Scope.ADMIN})
    assert CHALLENGE not in answer.headers


async def test_whoever_has_a_personal_token_is_known(here: Doors, make_user: MakeUser) -> None:
    user = await make_user()
    told = (await here.ask(await personal(here.scene, user, Scope.PROJECTS_READ))).json()
    assert (told["user_id"], told["scopes"]) == (user.id, ["projects:read"])
    assert uuid.UUID(told["token_id"]).version == 4


Spoil = Callable[[Scene, User], Awaitable[str]]


async def _missing_signature(scene: Scene, user: User) -> str:
    return (await scene.signed_in(user)).access.token.rpartition(".")[0] + "."


async def _tampered(scene: Scene, user: User) -> str:
    head, claims, signature = (await scene.signed_in(user)).access.token.split(".")
    other = (await scene.signed_in(user)).access.token.split(".")[1]
    assert claims != other
    return f"{head}.{other}.{signature}"


async def _expired(scene: Scene, user: User) -> str:
    token = (await scene.signed_in(user)).access.token
    scene.clock.go(ACCESS_SECONDS + 60)
    return token


async def _not_yet(scene: Scene, user: User) -> str:
    token = (await scene.signed_in(user)).access.token
    scene.clock.go(-60)
    return token


async def _unknown_key(scene: Scene, user: User) -> str:
    strangers = TokenKeys([bytes(range(32))], issuer=ISSUER, clock=scene.clock)
    return strangers.sign(Claims(user_id=user.id, sign_in_id=uuid.uuid4(), scopes=frozenset(Scope))).token


async def _no_such_sign_in(scene: Scene, user: User) -> str:
    return scene.keys.sign(Claims(user_id=user.id, sign_in_id=uuid.uuid4(), scopes=frozenset(Scope))).token


async def _anothers_sign_in(scene: Scene, user: User) -> str:
    theirs = scene.keys.read((await scene.signed_in(user)).access.token).sign_in_id
    return scene.keys.sign(Claims(user_id=user.id + 1, sign_in_id=theirs, scopes=frozenset(Scope))).token


async def _other_audience(scene: Scene, user: User) -> str:
    own = scene.keys.read((await scene.signed_in(user)).access.token)
    return signed(scene.keys, sub=str(user.id), sid=str(own.sign_in_id), aud="elsewhere")


async def _other_issuer(scene: Scene, user: User) -> str:
    own = scene.keys.read((await scene.signed_in(user)).access.token)
    return signed(scene.keys, sub=str(user.id), sid=str(own.sign_in_id), iss="https://elsewhere.test")


async def _other_algorithm(scene: Scene, user: User) -> str:
    own = scene.keys.read((await scene.signed_in(user)).access.token)
    key = scene.keys._newest.signing * 2
    return signed(scene.keys, algorithm="HS512", key=key, sub=str(user.id), sid=str(own.sign_in_id))


async def _signed_out(scene: Scene, user: User) -> str:
    tokens = await scene.signed_in(user)
    await scene.access.sign_ins.sign_out(tokens.refresh_token)
    return tokens.access.token


async def _suspended(scene: Scene, user: User) -> str:
    token = (await scene.signed_in(user)).access.token
    await scene.set_user(user, status="suspended")
    return token


async def _suspended_personal(scene: Scene, user: User) -> str:
    token = await personal(scene, user, Scope.PROJECTS_READ)
    await scene.set_user(user, status="suspended")
    return token


async def _revoked_personal(scene: Scene, user: User) -> str:
    token = await personal(scene, user, Scope.PROJECTS_READ)
    await scene.execute("UPDATE personal_tokens SET revoked_at = now()")
    return token


async def _expired_personal(scene: Scene, user: User) -> str:
    token = await personal(scene, user, Scope.PROJECTS_READ)
    await scene.execute("UPDATE personal_tokens SET expires_at = now()")
    return token


async def _refresh_token(scene: Scene, user: User) -> str:
    return (await scene.signed_in(user)).refresh_token


async def _nobodys(scene: Scene, user: User) -> str:  # noqa: ARG001
    return opaque.make(opaque.PERSONAL)


async def _nonsense(scene: Scene, user: User) -> str:  # noqa: ARG001
    return "nonsense"


async def _huge(scene: Scene, user: User) -> str:  # noqa: ARG001
    return "a" * 12_000


SPOILED: tuple[Spoil, ...] = (
    _missing_signature, _tampered, _expired, _not_yet, _unknown_key, _no_such_sign_in, _anothers_sign_in,
    _other_audience, _other_issuer, _other_algorithm, _signed_out, _suspended, _suspended_personal,
    _revoked_personal, _expired_personal, _refresh_token, _nobodys, _nonsense, _huge,
)  # fmt: skip


@pytest.mark.parametrize("spoil", SPOILED, ids=lambda spoil: spoil.__name__)
async def test_a_token_that_does_not_count_is_401_in_one_and_the_same_way(
    here: Doors, make_user: MakeUser, spoil: Spoil
) -> None:
    user = await make_user()
    token = await spoil(here.scene, user)
    with capture_logs() as logged:
        answer = await here.ask(token)
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")
    assert answer.headers[CHALLENGE] == 'Bearer error="invalid_token"'
    assert token not in answer.text
    assert token not in str(logged)
    good = await make_user()
    here.scene.clock.instant = type(here.scene.clock)().instant
    assert (await here.ask((await here.scene.signed_in(good)).access.token)).json()["user_id"] == good.id


@pytest.mark.parametrize("header", [None, "", "Bearer", "Basic YTpi", "bott_x", "Token abc", "Bearer\tabc"], ids=repr)
async def test_no_token_is_401(here: Doors, header: str | None) -> None:
    answer = await here.http.get("/whoami", headers={} if header is None else {"Authorization": header})
    assert (answer.status_code, answer.json()["code"]) == (401, "missing_token")
    assert answer.headers[CHALLENGE] == "Bearer"


async def test_a_token_is_not_taken_from_the_address(here: Doors, make_user: MakeUser) -> None:
    token = (await here.scene.signed_in(await make_user())).access.token
    answer = await here.http.get("/whoami", params={"access_token": token, "token": token})
    assert answer.status_code == 401


async def test_a_scope_that_lacks_is_403_and_named(here: Doors, make_user: MakeUser) -> None:
    user = await make_user()
    token = await personal(here.scene, user, Scope.PROJECTS_WRITE)
    answer = await here.ask(token)
    assert (answer.status_code, answer.json()["code"]) == (403, "missing_scope")
    assert "projects:read" in answer.json()["detail"]
    assert answer.headers[CHALLENGE] == 'Bearer error="insufficient_scope", scope="projects:read"'


async def test_what_is_for_admins_wants_the_role_and_the_scope(here: Doors, make_user: MakeUser) -> None:
    user = await make_user()
    before = (await here.scene.signed_in(user)).access.token
    assert (await here.ask(before, "/for-admins")).status_code == 403
    await here.scene.set_user(user, role="admin")
    user.role = "admin"
    assert (await here.ask(before, "/for-admins")).status_code == 403
    token = (await here.scene.signed_in(user)).access.token
    narrow = await personal(here.scene, user, Scope.CREDITS_WRITE)
    assert (await here.ask(token, "/for-admins")).json() == user.id
    assert (await here.ask(narrow, "/for-admins")).status_code == 403
    await here.scene.set_user(user, role="person")
    assert (await here.ask(token, "/for-admins")).status_code == 403


async def test_a_suspension_counts_from_the_very_next_request(here: Doors, make_user: MakeUser) -> None:
    user = await make_user()
    token = (await here.scene.signed_in(user)).access.token
    for status, expected in (("active", 200), ("suspended", 401), ("active", 200), ("deleted", 401)):
        await here.scene.set_user(user, status=status)
        assert (await here.ask(token)).status_code == expected


async def test_many_at_once_are_each_themselves(here: Doors, make_user: MakeUser) -> None:
    people = [await make_user() for _ in range(5)]
    tokens = [(await here.scene.signed_in(user)).access.token for user in people]
    answers = await asyncio.gather(*(here.ask(token) for token in tokens * 6))
    assert [answer.json()["user_id"] for answer in answers] == [user.id for user in people] * 6


async def test_a_database_that_is_away_is_said_with_when_to_come_again(
    database: Database, database_url: str, make_user: MakeUser
) -> None:
    async with doors(database, database_url=database_url) as here:
        token = (await here.scene.signed_in(await make_user())).access.token
        with socket.create_server(("127.0.0.1", 0)) as taken:
            nowhere = Database(url=f"postgresql+asyncpg://a@127.0.0.1:{taken.getsockname()[1]}/a")
        away = Door(database=nowhere, keys=here.scene.keys)
        here.app.state.access = replace(here.scene.access, door=away)
        with capture_logs() as logged:
            answer = await here.ask(token)
        assert (answer.status_code, answer.json()["code"]) == (503, "database_away")
        assert answer.headers["retry-after"] == "5"
        assert "127.0.0.1" not in answer.text
        assert [line["event"] for line in logged] == ["http.database_away", "http.request"]
        here.app.state.access = here.scene.access
        assert (await here.ask(token)).status_code == 200
        await nowhere.close()
