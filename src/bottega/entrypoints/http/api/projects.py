"""Projects: begun by a brief, read, steered in words, paused, resumed, cancelled, refined and deleted."""

import uuid
from datetime import datetime
from decimal import Decimal
from typing import Annotated

from fastapi import APIRouter, status
from pydantic import Field, StrictStr
from starlette.responses import Response

from bottega.core.errors import AppError
from bottega.entrypoints.http.api.house import CHANNEL, House, OnceKey, Reader, TheHouse, Writer
from bottega.entrypoints.http.api.route import ApiRoute
from bottega.entrypoints.http.api.wire import (
    Asked,
    Cursor,
    Exact,
    Limit,
    Page,
    ProjectId,
    Told,
    place_cursor,
    problems,
    read_place,
)
from bottega.entrypoints.http.identity import Caller
from bottega.orchestration.funding import LARGEST_LIMIT
from bottega.projects import service as projects
from bottega.projects.service import Place

router = APIRouter(prefix="/v1/projects", tags=["Projects"], route_class=ApiRoute)

LONGEST_TEXT = 60_000  # of characters; what a text is for may allow less, and then says so

Said = Annotated[StrictStr, Field(max_length=LONGEST_TEXT)]


class NewProject(Asked):
    """`brief` says in plain words what is wanted."""

    brief: Said = Field(
        description="At most 50,000 bytes.",
        examples=["A command line tool that counts words, tested, standard library only."],
    )


class Message(Asked):
    text: Said = Field(
        min_length=1,
        description="An answer, a go, what to change, or a remark: understood as in a chat.",
        examples=["Use tabs, not spaces"],
    )


class Remark(Asked):
    remark: Said = Field(default="", description="What to do differently from here on.", examples=["Try without regex"])


class Refinement(Asked):
    path: StrictStr = Field(max_length=1000, examples=["words/count.py"])
    instruction: Said = Field(examples=["Count both sides of a hyphen"])


class CreditLimit(Asked):
    credits: Annotated[Decimal, Field(ge=0, le=LARGEST_LIMIT, decimal_places=8, allow_inf_nan=False)] | None = Field(
        description="All in all; null for no limit.", examples=["50"]
    )


class ProjectSummary(Told):
    id: uuid.UUID
    title: str
    status: str = Field(examples=["implementing"])
    credits_charged: Exact
    created_at: datetime
    updated_at: datetime


class Project(Told):
    """A project and where it stands."""

    id: uuid.UUID
    title: str
    description: str = Field(description="The brief.")
    status: str = Field(description="For people.", examples=["implementing"])
    phase: str | None = Field(description="What is being worked on.", examples=["implement"])
    state: str | None = Field(description="Whether it goes on: `ready`, or what it waits for.", examples=["ready"])
    stop_code: str | None = Field(description="Why it does not go on, for programs.", examples=["approval"])
    reason: str | None = Field(description="Why it does not go on, for people.")
    tech_stack: dict[str, str] | None
    documentation: str | None
    todo_markdown: str
    quote_low_credits: Exact | None
    quote_high_credits: Exact | None
    credits_charged: Exact
    credits_needed: Exact | None = Field(description="While it waits for credits: how many it takes.")
    credit_limit: Exact | None
    is_delivered: bool
    is_driven: bool = Field(description="Somebody is working on it at this moment.")
    event_sequence: int = Field(description="The number of its last event.")
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None


_WHERE = {"headers": {"Location": {"description": "The project's address.", "schema": {"type": "string"}}}}


class ProjectDeleted(AppError):
    code = "project_deleted"
    http_status = 410

    def __init__(self) -> None:
        super().__init__(
            "This key began a project, which was deleted since. Nothing was done: take a new key to begin another."
        )


async def shown(house: House, who: Caller, project_id: uuid.UUID) -> Project:
    return Project.model_validate(await house.browser.overview(user_id=who.user_id, project_id=project_id))


@router.post("", status_code=status.HTTP_201_CREATED, responses={**problems(410), 201: _WHERE})
async def create_project(new: NewProject, who: Writer, house: TheHouse, key: OnceKey, response: Response) -> Project:
    """Begin a project from a brief. The Architect reads it next, and asks or plans."""
    project_id = await house.orchestrator.start_project(
        user_id=who.user_id, channel=CHANNEL, brief=new.brief, idempotency_key=key
    )
    response.headers["Location"] = f"{router.prefix}/{project_id}"
    try:
        return await shown(house, who, project_id)
    except projects.UnknownProject as error:
        raise ProjectDeleted from error


@router.get("")
async def list_projects(who: Reader, house: TheHouse, limit: Limit = 20, cursor: Cursor = None) -> Page[ProjectSummary]:
    """List your projects, newest first."""
    after = read_place(cursor)
    async with house.database.reading() as session:
        found = await projects.list_projects(session, user_id=who.user_id, limit=limit + 1, after=after)
    items = [
        ProjectSummary(
            id=one.id,
            title=one.title,
            status=one.status,
            credits_charged=one.actual_credit_cost,
            created_at=one.created_at,
            updated_at=one.updated_at,
        )
        for one in found[:limit]
    ]
    last = Place(created_at=items[-1].created_at, project_id=items[-1].id) if len(found) > limit else None
    return Page(items=items, next_cursor=place_cursor(last) if last else None)


@router.get("/{project_id}", responses=problems(404))
async def read_project(project_id: ProjectId, who: Reader, house: TheHouse) -> Project:
    """Read where a project stands."""
    return await shown(house, who, project_id)


@router.delete("/{project_id}", status_code=status.HTTP_204_NO_CONTENT, responses=problems(404, 503))
async def delete_project(project_id: ProjectId, who: Writer, house: TheHouse) -> None:
    """Delete a project for good: what was said, made and packed. What it cost stays in your transactions."""
    await house.deletion.delete(user_id=who.user_id, project_id=project_id)


@router.post("/{project_id}/messages", responses=problems(402, 404, 409))
async def send_message(project_id: ProjectId, message: Message, who: Writer, house: TheHouse, key: OnceKey) -> Project:
    """Say something about a project, in your own words: whatever it waits for, this is what you say to it.

    A message that names another project of yours (`refine ... of project ID`) is about that one, and so is the answer.
    """
    about = await house.orchestrator.handle_message(
        user_id=who.user_id, channel=CHANNEL, text=message.text, project_id=project_id, idempotency_key=key
    )
    return await shown(house, who, about)


@router.post("/{project_id}/pause", responses=problems(404, 409))
async def pause_project(project_id: ProjectId, who: Writer, house: TheHouse, key: OnceKey) -> Project:
    """Pause: work under way ends within ten seconds and is kept."""
    await house.orchestrator.pause(user_id=who.user_id, project_id=project_id, idempotency_key=key)
    return await shown(house, who, project_id)


@router.post("/{project_id}/resume", responses=problems(404, 409))
async def resume_project(project_id: ProjectId, remark: Remark, who: Writer, house: TheHouse, key: OnceKey) -> Project:
    """Go on from the same step, whatever it stopped for. A stuck task gets another round at the strongest model."""
    await house.orchestrator.resume(
        user_id=who.user_id, project_id=project_id, channel=CHANNEL, remark=remark.remark, idempotency_key=key
    )
    return await shown(house, who, project_id)


@router.post("/{project_id}/cancel", responses=problems(404, 409))
async def cancel_project(project_id: ProjectId, who: Writer, house: TheHouse, key: OnceKey) -> Project:
    """End the work for good. What was accepted stays; a delivered project loses only the refinement under way."""
    await house.orchestrator.cancel(user_id=who.user_id, project_id=project_id, idempotency_key=key)
    return await shown(house, who, project_id)


@router.post("/{project_id}/refinements", responses=problems(402, 404, 409))
async def refine_file(project_id: ProjectId, wanted: Refinement, who: Writer, house: TheHouse, key: OnceKey) -> Project:
    """Ask for a change in one file: a task more for a delivered project, a remark for one that is worked on."""
    await house.orchestrator.refine(
        user_id=who.user_id,
        project_id=project_id,
        channel=CHANNEL,
        path=wanted.path,
        instruction=wanted.instruction,
        idempotency_key=key,
    )
    return await shown(house, who, project_id)


@router.put("/{project_id}/credit-limit", responses=problems(404))
async def limit_project(project_id: ProjectId, limit: CreditLimit, who: Writer, house: TheHouse) -> Project:
    """Set what the project may cost, all in all. A higher limit lets it go on where it waited for one."""
    await house.orchestrator.limit_project(user_id=who.user_id, project_id=project_id, credits=limit.credits)
    return await shown(house, who, project_id)
