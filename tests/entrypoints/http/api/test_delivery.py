"""What was built, over HTTP: tasks with their evidence, files of any commit, diffs, search, archive, link, receipt."""

import asyncio
import io
import subprocess
import sys
import zipfile
from decimal import Decimal
from pathlib import Path

import pytest

from tests.entrypoints.http.api.conftest import Installation, Person
from tests.journeys import scripts


async def test_a_delivery_is_looked_into_and_taken_along(here: Installation, ada: Person, tmp_path: Path) -> None:
    project_id = await here.delivered(ada)
    at = f"/v1/projects/{project_id}"
    await _tasks(ada, at)
    await _files(ada, at)
    await _money(ada, at)
    archive = await ada.http.get(f"{at}/archive")
    assert archive.headers["content-disposition"] == 'attachment; filename="word-counter.zip"'
    link = await ada.post(f"{at}/download-links", {"lifetime_seconds": 60})
    anybody = await here.client()
    followed = await anybody.get(link["url"].removeprefix(here.app.settings.http.public_url))
    assert followed.headers["content-type"] == "application/zip"
    assert followed.headers["content-disposition"].startswith('attachment; filename="')
    assert followed.headers["cache-control"] == "no-store"
    for name, content in (("archive", archive.content), ("link", followed.content)):
        await asyncio.to_thread(_works, content, tmp_path / name)


def _works(archive: bytes, folder: Path) -> None:
    """Unpack a delivery, and let its own tests pass."""
    zipfile.ZipFile(io.BytesIO(archive)).extractall(folder)
    (project,) = (one for one in folder.iterdir() if one.is_dir())
    ran = subprocess.run([sys.executable, *scripts.TEST.split()[1:]], cwd=project, capture_output=True, check=False)
    assert ran.returncode == 0, ran.stderr


async def _tasks(ada: Person, at: str) -> None:
    told = await ada.get(f"{at}/tasks/T1")
    assert [attempt["kind"] for attempt in told["attempts"]] == ["implement", "check", "verify", "commit"]
    assert told["attempts"][0]["model"] == "scripted/apprentice"
    (ran,) = told["attempts"][1]["evidence"]
    assert (ran["command"], ran["executed"], ran["passed"]) == (scripts.TEST, True, True)
    changed = await ada.get(f"{at}/tasks/T2/diff")
    assert "+++ b/words/__main__.py" in changed["diff"]
    assert "count.py" not in changed["diff"].replace("words.count", "")
    assert changed["commit"] == (await ada.get(f"{at}/tasks/T2"))["task"]["commit_sha"]
    await ada.get(f"{at}/tasks/T3", status=404)
    await ada.get(f"{at}/tasks/T1%00", status=422)


async def _files(ada: Person, at: str) -> None:
    commits = (await ada.get(f"{at}/commits"))["items"]
    assert [one["message"].partition(":")[0] for one in commits[1:]] == ["T2", "T1"]
    first = commits[-1]["sha"]
    newest = await ada.get(f"{at}/files")
    assert newest["commit"] == commits[0]["sha"]
    assert {"README.md", "words/count.py", "words/__main__.py"} <= {one["path"] for one in newest["items"]}
    earlier = await ada.get(f"{at}/files", params={"commit": first})
    assert sorted(one["path"] for one in earlier["items"]) == sorted(scripts.FIRST_FILES)
    read = await ada.get(f"{at}/files/content", params={"path": "words/count.py", "commit": first})
    assert (read["content"], read["encoding"]) == (scripts.COUNT, "utf-8")
    none = await ada.get(f"{at}/files/content", params={"path": "README.md", "commit": first}, status=404)
    assert none["code"] == "unknown_file"
    await ada.get(f"{at}/files", params={"commit": "0" * 40}, status=404)
    for commit in ("HEAD", "main", "0" * 39, "0" * 40 + "\n", "../../" + "0" * 34):
        await ada.get(f"{at}/files", params={"commit": commit}, status=422)
    hits = await ada.get(f"{at}/search", params={"q": "count words", "limit": 3})
    assert hits["items"][0]["path"].endswith("count.py")


async def _money(ada: Person, at: str) -> None:
    receipt, usage = await ada.get(f"{at}/receipt"), await ada.get(f"{at}/usage")
    spent = Decimal((await ada.get(at))["credits_charged"])
    assert Decimal(receipt["credits"]) == sum(Decimal(line["credits"]) for line in receipt["items"]) == spent
    assert sum(Decimal(line["credits"]) for line in usage["items"]) == spent
    assert {line["model"] for line in usage["items"]} == {"scripted/architect", "scripted/apprentice"}
    assert not [name for line in usage["items"] for name in line if "usd" in name]  # what the platform pays is its own


@pytest.mark.parametrize(
    "path",
    [
        "../../../etc/passwd",
        "/etc/passwd",
        "words/../../x",
        "a\\..\\b",
        "C:\\x",
        ".git/config",
        "a\0b",
        "~root/x",
        "a" * 401,
        "con",
        "a//b",
        "\u202egnp.py",
    ],
)
async def test_a_path_that_leads_out_is_no_path(ada: Person, path: str) -> None:
    project_id = await ada.begin()
    answer = await ada.http.get(f"/v1/projects/{project_id}/files/content", params={"path": path})
    assert (answer.status_code, answer.json()["code"]) == (422, "unsafe_path")


async def test_before_there_is_anything_it_says_so(ada: Person) -> None:
    at = f"/v1/projects/{await ada.begin()}"
    assert await ada.get(f"{at}/files") == {"commit": None, "items": []}
    assert (await ada.get(f"{at}/commits"))["items"] == (await ada.get(f"{at}/tasks"))["items"] == []
    assert (await ada.post(f"{at}/download-links", {}, status=409))["code"] == "not_delivered"
    assert (await ada.http.get(f"{at}/archive")).content[:2] == b"PK"
    assert (await ada.get(f"{at}/receipt")) == {"items": [], "credits": "0"}


async def test_a_link_is_ours_or_none(here: Installation, ada: Person) -> None:
    await ada.begin()
    http = await here.client()
    for token in ("x", "1.eA.x", "..%2f..%2fx", "a" * 900, "%00", "9999999999.eA." + "A" * 43, "é"):
        answer = await http.get(f"/download/{token}")
        assert answer.status_code in {403, 404}, (token, answer.text)
    assert (await http.get("/download/x")).json()["code"] == "bad_download_link"
