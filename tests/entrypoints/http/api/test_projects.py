"""Projects over HTTP: from a brief to a delivery, and what may be asked of one on the way."""

from tests.entrypoints.http.api.conftest import Installation, Person


async def test_a_brief_becomes_a_project_that_is_read_and_listed(here: Installation, ada: Person) -> None:
    project_id = await ada.begin("A tool that counts words.\nIn Python.")
    project = await ada.get(f"/v1/projects/{project_id}")
    assert (project["title"], project["status"]) == ("A tool that counts words.", "gathering_requirements")
    listed = await ada.get("/v1/projects")
    assert [one["id"] for one in listed["items"]] == [str(project_id)]
    assert listed["next_cursor"] is None


async def test_openapi(here: Installation, ada: Person) -> None:
    told = await ada.get("/openapi.json")
    print(sorted(told["paths"]))
    project_id = await here.delivered(ada)
    print(await ada.get(f"/v1/projects/{project_id}"))
