"""The image's recipe, and the script that makes an installation's secrets."""

import base64
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.deploy.conftest import DEPLOY, ROOT, TOOLS, tool

pytestmark = pytest.mark.deploy

DOCKERFILE = DEPLOY / "docker" / "Dockerfile"
A_HOST = re.compile(r"https?://(?!(127\.0\.0\.1|storage:9000|postgres|bottega\.example)\b)[a-z0-9.-]+", re.IGNORECASE)


def test_hadolint_has_nothing_to_say() -> None:
    result = tool(str(TOOLS / "hadolint"), str(DOCKERFILE))
    assert (result.stdout + result.stderr, result.returncode) == ("", 0)


def test_hadolint_would_say_it(tmp_path: Path) -> None:
    broken = tmp_path / "Dockerfile"
    broken.write_text(DOCKERFILE.read_text().replace("FROM ${PYTHON_IMAGE}\n", "FROM python\n"))
    assert "DL3006" in tool(str(TOOLS / "hadolint"), str(broken)).stdout


def test_it_takes_locked_packages_alone_and_ends_as_nobody() -> None:
    text = DOCKERFILE.read_text(encoding="utf-8")
    installs = re.findall(r"pip install .*", text)
    assert all("--require-hashes" in line or "--no-index" in line for line in installs)
    assert len(installs) == 2
    assert re.findall(r"^USER (.*)$", text, re.MULTILINE) == ["10001:10001"]
    assert re.findall(r"^FROM (\S+)", text, re.MULTILINE) == ["${PYTHON_IMAGE}"] * 2


def test_whatever_is_copied_is_let_through_to_the_builder_and_nothing_else() -> None:
    """Hold `.dockerignore`, which lets only names through, beside the COPY lines of the build's folder."""
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    lines = re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE.read_text(encoding="utf-8"), re.MULTILINE)
    assert {name for line in lines for name in line.split()} == allowed
    assert all((ROOT / name).exists() for name in allowed)


def test_no_file_names_a_registry_or_an_index() -> None:
    files = [path for path in DEPLOY.rglob("*") if path.is_file() and "secrets" not in path.relative_to(DEPLOY).parts]
    assert len(files) > 15
    for path in files:
        assert not A_HOST.search(path.read_text(encoding="utf-8")), path


# -- make-secrets.sh ---------------------------------------------------------------------------------------------------


@pytest.fixture
def script(tmp_path: Path) -> Path:
    return Path(shutil.copy(DEPLOY / "make-secrets.sh", tmp_path))


def made(script: Path) -> dict[str, bytes]:
    subprocess.run([script], check=True, capture_output=True)
    files = [path for path in (script.parent / "secrets").rglob("*") if path.is_file()]
    return {path.relative_to(script.parent / "secrets").as_posix(): path.read_bytes() for path in files}


def test_secrets_are_random_and_their_owners_alone(script: Path, tmp_path: Path) -> None:
    one = made(script)
    for path in (tmp_path / "secrets").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path
    keys = {base64.b64decode(one[name].split(b"=", 1)[1]) for name in ("platform.env", "keyless.env", "access.env")}
    keys |= {one["home/fingerprint.key"], one["home/signing.key"]}
    assert [len(key) for key in keys] == [32] * 5
    assert len(set(one["redis.env"].split(b":")[2].partition(b"@")[0])) > 8


def test_a_second_run_changes_nothing(script: Path) -> None:
    assert made(script) == made(script)


def test_what_an_operator_wrote_stays(script: Path) -> None:
    folder = script.parent / "secrets"
    folder.mkdir()
    (folder / "models.env").write_text("GOOGLE_API_KEY=mine\n")
    assert made(script)["models.env"] == b"GOOGLE_API_KEY=mine\n"


def test_one_half_of_a_password_is_refused_in_a_sentence(script: Path) -> None:
    made(script)
    (script.parent / "secrets" / "redis-server.env").unlink()
    result = subprocess.run([script], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "Only one of secrets/redis.env and secrets/redis-server.env is there" in result.stderr
