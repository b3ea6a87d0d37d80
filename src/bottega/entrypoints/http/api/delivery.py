"""Taking a project along: its archive, a link to it that anybody may follow for a while, and what it cost.

A link carries its own right: whoever has it has the archive, until it expires. It is signed, so that no other can be
made up, and it is never logged in full by us, only as the path of a request.
"""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import Field, StrictInt
from starlette.responses import Response

from bottega.billing.receipt import receipt as usage_of
from bottega.core.errors import AppError
from bottega.delivery.archive import slug
from bottega.entrypoints.http.api.house import Reader, TheHouse
from bottega.entrypoints.http.api.route import ApiRoute
from bottega.entrypoints.http.api.wire import Asked, Exact, ProjectId, Told, problems

router = APIRouter(prefix="/v1/projects/{project_id}", tags=["Delivery"], route_class=ApiRoute)
downloads = APIRouter(tags=["Delivery"], route_class=ApiRoute)

SHORTEST_SECONDS, USUAL_SECONDS, LONGEST_SECONDS = 60, 900, 7 * 86_400
_ZIP = {
    "description": "The archive.",
    "content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}},
}


class ZipFile(Response):
    media_type = "application/zip"


class NotDelivered(AppError):
    code = "not_delivered"
    http_status = 409

    def __init__(self) -> None:
        super().__init__("The project is not delivered yet. Its archive so far: GET /v1/projects/{project_id}/archive.")


class WantedLink(Asked):
    lifetime_seconds: StrictInt = Field(default=USUAL_SECONDS, ge=SHORTEST_SECONDS, le=LONGEST_SECONDS)


class DownloadLink(Told):
    url: str
    expires_at: datetime


class ReceiptLine(Told):
    """What one task, or one part that belongs to none, cost."""

    title: str
    task_key: str | None
    calls: int
    calls_not_charged: int
    own_key_calls: int
    input_tokens: int
    output_tokens: int
    credits: Exact
    unbilled: Exact
    causes: dict[str, int] = Field(description="Why calls were not charged, and how many.")


class Receipt(Told):
    items: list[ReceiptLine]
    credits: Exact = Field(description="The sum, equal to the ledger to the last digit.")


class UsageLine(Told):
    """Calls of one purpose by one model."""

    task_key: str | None
    purpose: str
    model: str
    calls: int
    failed_calls: int
    own_key_calls: int
    input_tokens: int
    output_tokens: int
    credits: Exact


class Usage(Told):
    items: list[UsageLine]


@router.get("/archive", response_class=ZipFile, response_model=None, responses={200: _ZIP, **problems(404, 503)})
async def download_archive(project_id: ProjectId, who: Reader, house: TheHouse) -> Response:
    """Download everything that has been accepted so far, finished or not, packed at this moment."""
    now = await house.browser.overview(user_id=who.user_id, project_id=project_id)
    content = await house.orchestrator.archive(user_id=who.user_id, project_id=project_id)
    return _zip(content, name=f"{slug(now.title)}.zip")


@router.post("/download-links", responses=problems(404, 409))
async def make_download_link(project_id: ProjectId, wanted: WantedLink, who: Reader, house: TheHouse) -> DownloadLink:
    """Make a link to the delivered archive, for a browser or a friend. It needs no token, and expires."""
    project = await house.browser.project(user_id=who.user_id, project_id=project_id)
    if project.archive_key is None:
        raise NotDelivered
    lifetime = timedelta(seconds=wanted.lifetime_seconds)
    return DownloadLink.model_validate(house.links.sign(key=project.archive_key, lifetime=lifetime))


@router.get("/receipt", responses=problems(404))
async def read_receipt(project_id: ProjectId, who: Reader, house: TheHouse) -> Receipt:
    """Read what the project cost, part by part."""
    lines = await house.orchestrator.receipt(user_id=who.user_id, project_id=project_id)
    items = [ReceiptLine.model_validate(line) for line in lines]
    return Receipt(items=items, credits=sum((item.credits for item in items), start=Decimal(0)))


@router.get("/usage", responses=problems(404))
async def read_usage(project_id: ProjectId, who: Reader, house: TheHouse) -> Usage:
    """Read which models were asked how often, for what."""
    await house.browser.overview(user_id=who.user_id, project_id=project_id)
    async with house.database.reading() as session:
        found = await usage_of(session, project_id=project_id)
    return Usage(items=[UsageLine.model_validate(line) for line in found.lines])


@downloads.get(
    "/download/{token}", response_class=ZipFile, response_model=None, responses={200: _ZIP, **problems(403, 404, 503)}
)
async def follow_download_link(
    token: Annotated[str, Path(max_length=1000, description="What the link ends in.")], house: TheHouse
) -> Response:
    """Follow a link that was made for a delivered archive. It is its own right: no token is asked for."""
    found = await house.links.fetch(token)
    return _zip(found.content, name=found.name)


def _zip(content: bytes, *, name: str) -> Response:
    return ZipFile(content, headers={"Content-Disposition": f'attachment; filename="{name}"'})
