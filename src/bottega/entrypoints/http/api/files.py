"""What was built: the files of any commit, their text, and a search of the code. Paths are the project's own."""

import base64
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field

from bottega.entrypoints.http.api.house import Reader, TheHouse
from bottega.entrypoints.http.api.route import ApiRoute
from bottega.entrypoints.http.api.wire import Limit, ProjectId, Told, problems

router = APIRouter(prefix="/v1/projects/{project_id}", tags=["Files"], route_class=ApiRoute)

Sha = Annotated[
    str | None,
    Query(pattern="^[0-9a-f]{40}$", description="A commit; without it, the newest.", examples=["4c6fbfb1" * 5]),
]
FilePath = Annotated[
    str,
    Query(min_length=1, max_length=1000, description="As the list of files has it.", examples=["words/count.py"]),
]


class Commit(Told):
    sha: str
    message: str
    at: datetime
    files: list[str] = Field(description="The paths it changed.")


class Commits(Told):
    items: list[Commit]


class File(Told):
    path: str
    blob: str = Field(description="Names its content, as git does.")
    size_bytes: int


class Files(Told):
    commit: str | None = Field(description="Null while nothing was committed.")
    items: list[File]


class FileContent(Told):
    commit: str
    path: str
    size_bytes: int
    encoding: Literal["utf-8", "base64"] = Field(description="`base64` for what is not text.")
    content: str


class Hit(Told):
    """Lines of a file that a query is about."""

    path: str
    symbol: str
    kind: str
    start_line: int
    end_line: int
    text: str
    score: float
    why: list[str]


class Hits(Told):
    items: list[Hit]


@router.get("/commits", responses=problems(404))
async def list_commits(project_id: ProjectId, who: Reader, house: TheHouse) -> Commits:
    """List the project's history, newest first."""
    found = await house.browser.commits(user_id=who.user_id, project_id=project_id)
    return Commits(
        items=[Commit(sha=one.sha, message=one.message, at=one.at, files=sorted(one.changes)) for one in found]
    )


@router.get("/files", responses=problems(404))
async def list_files(project_id: ProjectId, who: Reader, house: TheHouse, commit: Sha = None) -> Files:
    """List the files of a commit."""
    found = await house.browser.files(user_id=who.user_id, project_id=project_id, commit=commit)
    return Files(commit=found.commit, items=[File.model_validate(entry) for entry in found.entries])


@router.get("/files/content", responses=problems(404, 413))
async def read_file(
    project_id: ProjectId,
    who: Reader,
    house: TheHouse,
    path: FilePath,
    commit: Sha = None,
) -> FileContent:
    """Read one file of a commit, of up to 5 MiB."""
    found = await house.browser.file(user_id=who.user_id, project_id=project_id, path=path, commit=commit)
    size = len(found.content)
    try:
        text = found.content.decode()
    except UnicodeDecodeError:
        coded = base64.b64encode(found.content).decode()
        return FileContent(commit=found.commit, path=found.path, size_bytes=size, encoding="base64", content=coded)
    return FileContent(commit=found.commit, path=found.path, size_bytes=size, encoding="utf-8", content=text)


@router.get("/search", responses=problems(404))
async def search_code(
    project_id: ProjectId,
    who: Reader,
    house: TheHouse,
    q: Annotated[str, Query(min_length=1, max_length=500, description="Words or names.", examples=["count words"])],
    limit: Limit = 10,
) -> Hits:
    """Find the code that a text is about, best first."""
    found = await house.browser.search(user_id=who.user_id, project_id=project_id, query=q, limit=limit)
    return Hits(items=[Hit.model_validate(hit) for hit in found])
