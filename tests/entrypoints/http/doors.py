"""An application with doors: people, and two routes that want something of whoever asks, over real HTTP."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import httpx2
from fastapi import FastAPI

from bottega.access.rates import Rates
from bottega.core.clock import SystemClock
from bottega.db.transaction import Database
from bottega.entrypoints.http.application import Parts, create_app
from bottega.entrypoints.http.identity import Caller, Scope, caller
from bottega.entrypoints.relay.calls import Calls
from bottega.entrypoints.relay.router import Relay
from tests.access.scene import Scene, set_scene
from tests.entrypoints.relay.conftest import client, nothing, served


class Nobody:
    async def admit(self, token: str) -> Any:
        raise AssertionError(token)


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    scene: Scene
    app: FastAPI
    http: httpx2.AsyncClient

    async def ask(self, token: str | None, path: str = "/whoami") -> httpx2.Response:
        return await self.http.get(path, headers={} if token is None else {"Authorization": f"Bearer {token}"})


@asynccontextmanager
async def doors(
    database: Database, *, database_url: str, rates: Rates | None = None, redis_url: str | None = None, **parts: Any
) -> AsyncIterator[Doors]:
    scene = set_scene(database, database_url=database_url, rates=rates, redis_url=redis_url)
    relay = Relay(desk=Nobody(), models=(), calls=Calls(), clock=SystemClock())
    app = create_app(Parts(ping=nothing, relay=relay, access=scene.access, **parts))

    @app.get("/whoami")
    async def whoami(who: Annotated[Caller, caller(Scope.PROJECTS_READ)]) -> dict[str, Any]:
        return {"user_id": who.user_id, "scopes": sorted(who.scopes), "role": who.role, "token_id": who.token_id}

    @app.get("/for-admins")
    async def for_admins(who: Annotated[Caller, caller(Scope.ADMIN, Scope.CREDITS_WRITE)]) -> int:
        return who.user_id

    async with served(app) as url, client(url) as http:
        yield Doors(scene=scene, app=app, http=http)
    await scene.access.limiter.close()
