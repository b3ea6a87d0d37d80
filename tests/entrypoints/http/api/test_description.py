"""The API's description: written down as it is, and good enough for a client to be made from it."""

import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from openapi_spec_validator import validate

from bottega.entrypoints.http.docs import described, page
from tests.entrypoints.http.api.conftest import Installation, Person

ROOT = Path(__file__).parents[4]
MAKER = str(Path(sys.executable).with_name("openapi-python-client"))


def test_the_page_says_what_the_server_does() -> None:
    written = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert written == page(described()), "run `make docs-api`"


def test_the_description_is_valid_openapi() -> None:
    validate(described())


async def test_the_server_describes_itself_as_the_page_does(here: Installation) -> None:
    served = (await (await here.client()).get("/openapi.json")).json()
    assert served == json.loads(json.dumps(described()))


def made(tmp_path: Path) -> Path:
    """Make a client from the description and return the folder it can be imported from."""
    description = tmp_path / "openapi.json"
    description.write_text(json.dumps(described()), encoding="utf-8")
    command = [MAKER, "generate", "--path", str(description), "--meta", "none", "--output-path"]
    ran = subprocess.run(
        [*command, str(tmp_path / "workshop_client")], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return tmp_path


def loaded(folder: Path, name: str) -> ModuleType:
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module(f"workshop_client.{name}")
    finally:
        sys.path.remove(str(folder))


async def test_a_client_that_was_made_from_it_works(here: Installation, ada: Person, tmp_path: Path) -> None:
    folder = made(tmp_path)
    client: Any = loaded(folder, "client").AuthenticatedClient(
        base_url=here.url, token=str(ada.http.headers["authorization"]).removeprefix("Bearer ")
    )
    models: Any = loaded(folder, "models")
    create: Any = loaded(folder, "api.projects.create_project")
    listing: Any = loaded(folder, "api.projects.list_projects")
    async with client:
        project = await create.asyncio(client=client, body=models.NewProject(brief="A tool that counts words."))
        assert (project.title, project.status) == ("A tool that counts words.", "gathering_requirements")
        page = await listing.asyncio(client=client)
        assert [one.id for one in page.items] == [project.id]
        refused = await create.asyncio_detailed(client=client, body=models.NewProject(brief=" "))
        assert refused.status_code == 422
