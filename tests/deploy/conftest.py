"""The deployment files as their own tools read them. All of it wants those tools: `make check-deploy`."""

import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest
import yaml

from tests.deploy.compose_rules import Compose
from tests.deploy.kubernetes_rules import Manifest, Manifests

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
TOOLS = ROOT / ".tools" / "deploy" / "bin"
OVERLAYS = ("dev", "prod", "keda")


def tool(*words: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, input=given, capture_output=True, text=True, cwd=ROOT, check=False)


@cache
def built(folder: Path) -> str:
    """Return what kustomize makes of a folder."""
    command = [["kubectl", "kustomize"], ["kustomize", "build"]]
    found = next((words for words in command if shutil.which(words[0])), None)
    assert found, "install kubectl or kustomize: without one nobody can say what the overlays become"
    result = tool(*found, str(folder))
    assert result.returncode == 0, result.stderr
    return result.stdout


def manifests(overlay: str) -> Manifests:
    documents: list[Manifest] = list(yaml.safe_load_all(built(DEPLOY / "kubernetes" / "overlays" / overlay)))
    return documents


@pytest.fixture
def compose() -> Compose:
    found: Compose = yaml.safe_load((DEPLOY / "docker" / "docker-compose.yml").read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="session")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Return the names that each file of `make-secrets.sh` sets, by the file's name without its ending."""
    folder = tmp_path_factory.mktemp("deploy")
    shutil.copy(DEPLOY / "make-secrets.sh", folder)
    subprocess.run([folder / "make-secrets.sh"], check=True, capture_output=True)
    files = (folder / "secrets").glob("*.env")
    return {file.stem: {line.partition("=")[0] for line in file.read_text().splitlines()} for file in files}
