"""What many answers of the API are made of: exact numbers, pages, and places in lists.

Credits and money are strings of decimal digits: no client is to round them on its way. A cursor names the last item of
a page, so that nothing is shown twice and nothing left out when a list grows meanwhile.
"""

import base64
import uuid
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, Field, PlainSerializer

from bottega.core.errors import AppError
from bottega.entrypoints.http.problems import MEDIA_TYPE
from bottega.projects.service import Place

LARGEST_ID = 2**31 - 1
LARGEST_ROW = 2**63 - 1
_FIRST_YEAR, _LAST_YEAR = 2000, 9000  # what a time zone cannot carry over the edge of the calendar

Exact = Annotated[
    Decimal,
    PlainSerializer(lambda amount: f"{amount:f}", return_type=str),
    Field(examples=["12.50000000"]),
]
"""A number that is shown to its last digit."""

Limit = Annotated[int, Query(ge=1, le=100, description="How many at most.")]
Cursor = Annotated[
    str | None, Query(max_length=200, description="`next_cursor` of the page before; without it, the first page.")
]
ProjectId = Annotated[uuid.UUID, Path(description="The project's id.")]
TaskKey = Annotated[str, Path(pattern=r"^T[1-9][0-9]{0,3}$", description="The task's key.", examples=["T1"])]
PersonId = Annotated[int, Path(ge=1, le=LARGEST_ID, description="The account's number.")]

Item = TypeVar("Item")


class BadCursor(AppError):
    code = "bad_cursor"
    http_status = 422

    def __init__(self) -> None:
        super().__init__("The cursor is none of ours: take `next_cursor` of the page before, as it is.")


class Asked(BaseModel):
    """What comes in: nothing that is not named."""

    model_config = ConfigDict(extra="forbid")


class Told(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class Page(BaseModel, Generic[Item]):
    items: list[Item]
    next_cursor: str | None = Field(description="For the page that follows; null on the last one.")


def place_cursor(place: Place) -> str:
    return _encoded(f"{place.created_at.isoformat()} {place.project_id}")


def read_place(cursor: str | None) -> Place | None:
    if cursor is None:
        return None
    at, _, project_id = _decoded(cursor).partition(" ")
    try:
        created_at = datetime.fromisoformat(at)
        place = Place(created_at=created_at, project_id=uuid.UUID(project_id))
    except ValueError as error:
        raise BadCursor from error
    if created_at.tzinfo is None or not _FIRST_YEAR <= created_at.year <= _LAST_YEAR:
        raise BadCursor
    return place


def row_cursor(number: int) -> str:
    return _encoded(str(number))


def read_row(cursor: str | None) -> int | None:
    if cursor is None:
        return None
    text = _decoded(cursor)
    if not (text.isascii() and text.isdigit()) or int(text) > LARGEST_ROW:
        raise BadCursor
    return int(text)


def _encoded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def _decoded(cursor: str) -> str:
    try:
        return base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except ValueError as error:  # of base64, of ASCII and of UTF-8
        raise BadCursor from error


_WHEN = {
    402: "There are too few credits.",
    404: "There is none, or it is somebody else's.",
    409: "It does not fit what the project is doing, or what is there already.",
    410: "It was there and is gone.",
    502: "A payment provider refused or did not answer.",
    503: "Something that is needed for it is out of reach or switched off.",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Declare errors of a route beside those that every route of its kind has (see `openapi.py`)."""
    return {status: problem_response(_WHEN.get(status, "Refused.")) for status in statuses}


def problem_response(description: str) -> dict[str, Any]:
    content: Mapping[str, Any] = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {"description": description, "content": content}
