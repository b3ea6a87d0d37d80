"""The overlays, as kustomize makes them: by Kubernetes' own schemas, and by our rules, each shown to bite."""

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from tests.database import connected
from tests.deploy import kubernetes_rules as rules
from tests.deploy.conftest import DEPLOY, OVERLAYS, TOOLS, built, manifests, tool
from tests.deploy.kubernetes_rules import Manifest, Manifests
from tests.deploy.rules import Names, unknown_settings

pytestmark = pytest.mark.deploy

Rule = Callable[[Manifests], Iterator[str]]
RULES: tuple[Rule, ...] = (
    rules.every_container_is_bounded,
    rules.every_container_is_asked_how_it_is,
    rules.every_container_is_restricted,
    rules.every_pod_is_restricted,
    rules.every_image_has_a_fixed_tag,
    rules.every_command_is_ours,
    rules.no_secret_is_in_a_config_map,
    rules.everything_selected_is_there,
    rules.nothing_listens_unknown,
    rules.what_is_called_may_be_called,
    rules.nobody_is_steered_twice,
    rules.one_bot_asks_telegram,
)
SCALED_BY_KEDA = {"ScaledObject", "TriggerAuthentication"}  # no schema of theirs is at hand


@pytest.fixture(params=OVERLAYS)
def overlay(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def test_every_overlay_is_what_kubernetes_understands(overlay: str) -> None:
    known = [document for document in manifests(overlay) if document["kind"] not in SCALED_BY_KEDA]
    result = validated(known)
    assert result == ""


def test_a_misspelled_field_is_noticed() -> None:
    broken = copy.deepcopy(manifests("dev"))
    container_of(broken, "api")["livenessProb"] = container_of(broken, "api").pop("livenessProbe")
    assert "livenessProb" in validated(broken)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_rule_holds_in_every_overlay(overlay: str, rule: Rule) -> None:
    assert list(rule(manifests(overlay))) == []


def test_every_variable_is_a_setting(overlay: str, secrets: Names) -> None:
    for name, names in rules.variables(manifests(overlay), secrets).items():
        assert list(unknown_settings(name, names)) == []


def test_an_unknown_variable_is_noticed(secrets: Names) -> None:
    broken = copy.deepcopy(manifests("prod"))
    container_of(broken, "worker")["env"].append({"name": "REDIS_ULR", "value": "x"})
    assert list(unknown_settings("worker", rules.variables(broken, secrets)["worker"])) == [
        "worker: REDIS_ULR is not a setting"
    ]


def test_the_sandbox_holds_no_key(overlay: str, secrets: Names) -> None:
    assert list(rules.the_sandbox_holds_no_key(manifests(overlay), secrets)) == []


def test_a_key_in_the_sandbox_is_noticed(secrets: Names) -> None:
    broken = copy.deepcopy(manifests("prod"))
    container_of(broken, "sandbox")["envFrom"].append({"secretRef": {"name": "bottega-models"}})
    assert list(rules.the_sandbox_holds_no_key(broken, secrets)) == [
        "the sandbox holds GOOGLE_API_KEY",
        "the sandbox holds OPENROUTER_API_KEY",
        "sandbox is given bottega-models",
    ]


def test_keda_steers_by_a_query_that_the_schema_answers() -> None:
    for document in manifests("keda"):
        for trigger in document["spec"].get("triggers", []) if document["kind"] == "ScaledObject" else []:
            assert set(trigger) == {"type", "metadata", "authenticationRef"}
            assert int(trigger["metadata"]["targetQueryValue"]) > 0


async def test_the_query_counts_what_is_due_in_each_lane(database_url: str) -> None:
    queries = {
        document["metadata"]["name"]: document["spec"]["triggers"][0]["metadata"]["query"]
        for document in manifests("keda")
        if document["kind"] == "ScaledObject"
    }
    async with connected(database_url) as connection:
        undone = connection.transaction()
        await undone.start()
        await connection.execute(SOME_RUNS)
        assert {name: await connection.fetchval(query) for name, query in queries.items()} == {
            "worker": 2,
            "sandbox": 1,
        }
        await undone.rollback()


def test_the_bubblewrap_component_changes_the_sandbox_alone() -> None:
    folder = DEPLOY / "kubernetes" / "overlays" / "dev"
    plain, loosened = manifests("dev"), with_component(folder, "bubblewrap")
    changed = [d["metadata"]["name"] for d, other in zip(plain, loosened, strict=True) if d != other]
    assert changed == ["sandbox"]
    assert validated(loosened) == ""
    for rule in RULES:
        assert list(rule(loosened)) == []


# -- every rule bites --------------------------------------------------------------------------------------------------


def container_of(documents: Manifests, component: str) -> Manifest:
    found: Manifest = pod_of(documents, component)["containers"][0]
    return found


def pod_of(documents: Manifests, component: str) -> Manifest:
    found: Manifest = next(pod["spec"] for _, name, pod in rules.pods(documents) if name == component)
    return found


def named(documents: Manifests, kind: str, name: str) -> Manifest:
    return next(d for d in documents if (d["kind"], d["metadata"]["name"]) == (kind, name))


def policy(documents: Manifests, name: str) -> Manifest:
    found: Manifest = named(documents, "NetworkPolicy", name)["spec"]
    return found


def settings_of(documents: Manifests) -> Manifest:
    found: Manifest = next(d["data"] for d in documents if d["metadata"]["name"].startswith("bottega-settings"))
    return found


Break = Callable[[Manifests], Any]
BREAKS: dict[str, tuple[Rule, Break, str]] = {
    "no limit": (
        RULES[0],
        lambda d: container_of(d, "redis")["resources"]["limits"].pop("memory"),
        "redis/redis has no",
    ),
    "no probe": (RULES[1], lambda d: container_of(d, "sandbox").pop("livenessProbe"), "has no livenessProbe"),
    "a writable root": (
        RULES[2],
        lambda d: container_of(d, "migrate")["securityContext"].update(readOnlyRootFilesystem=False),
        "can write to its own root",
    ),
    "a capability": (
        RULES[2],
        lambda d: container_of(d, "sandbox")["securityContext"]["capabilities"].update(add=["SYS_ADMIN"]),
        "sandbox/sandbox has capabilities",
    ),
    "root": (RULES[3], lambda d: pod_of(d, "api")["securityContext"].update(runAsUser=0), "api may run as root"),
    "service links": (RULES[3], lambda d: pod_of(d, "worker").pop("enableServiceLinks"), "POSTGRES_PORT"),
    "a short grace": (RULES[3], lambda d: pod_of(d, "worker").update(terminationGracePeriodSeconds=30), "killed"),
    "latest": (RULES[4], lambda d: container_of(d, "api").update(image="bottega:latest"), "no fixed tag"),
    "no tag": (RULES[4], lambda d: container_of(d, "api").update(image="bottega"), "no fixed tag"),
    "a registry": (RULES[4], lambda d: container_of(d, "api").update(image="example.org/bottega:1"), "registry"),
    "no such command": (RULES[5], lambda d: container_of(d, "api").update(args=["server"]), "No such command"),
    "no such option": (
        RULES[5],
        lambda d: container_of(d, "api").update(args=["serve", "--prot", "1"]),
        "No such option",
    ),
    "a secret shown": (RULES[6], lambda d: settings_of(d).update(POSTGRES_PASSWORD="x"), "shows POSTGRES_PASSWORD"),
    "a password in a URL": (RULES[6], lambda d: settings_of(d).update(PUBLIC_URL="http://a:b@c"), "shows PUBLIC_URL"),
    "a Secret written": (RULES[6], lambda d: d.append({"kind": "Secret", "metadata": {"name": "s"}}), "into a file"),
    "nobody selected": (
        RULES[7],
        lambda d: named(d, "PodDisruptionBudget", "api")["spec"]["selector"]["matchLabels"].update(
            {rules.COMPONENT: "app"}
        ),
        "PodDisruptionBudget api selects nothing",
    ),
    "an unknown port": (
        RULES[8],
        lambda d: container_of(d, "worker")["ports"].append({"containerPort": 9999}),
        "worker: 9999 is never admitted",
    ),
    "a port of nobody's": (
        RULES[8],
        lambda d: policy(d, "api")["ingress"][0]["ports"][0].update(port=8081),
        "api: 8081 is admitted and nothing listens",
    ),
    "from anywhere": (RULES[8], lambda d: policy(d, "api")["ingress"][0].pop("from"), "reached from anywhere"),
    "nothing denied": (RULES[8], lambda d: d.remove(named(d, "NetworkPolicy", "default-deny")), "is not denied"),
    "a closed door": (
        RULES[9],
        lambda d: policy(d, "redis")["ingress"][0]["from"][0]["podSelector"]["matchExpressions"][0]["values"].remove(
            "sandbox"
        ),
        "to-redis: redis does not let sandbox in",
    ),
    "the sandbox let out": (
        RULES[9],
        lambda d: policy(d, "to-providers")["podSelector"]["matchExpressions"][0]["values"].append("sandbox"),
        "to-providers lets the sandbox out",
    ),
    "two autoscalers": (
        RULES[10],
        lambda d: d.append({**named(d, "HorizontalPodAutoscaler", "worker"), "kind": "ScaledObject"}),
        "worker is steered by 2",
    ),
    "a number beside": (
        RULES[10],
        lambda d: named(d, "Deployment", "api")["spec"].update(replicas=2),
        "its own number",
    ),
    "two bots": (RULES[11], lambda d: named(d, "Deployment", "bot")["spec"].update(replicas=2), "two bots at once"),
    "two bots while one is replaced": (
        RULES[11],
        lambda d: named(d, "Deployment", "bot")["spec"].pop("strategy"),
        "two bots at once",
    ),
    "a bot by another name": (
        RULES[11],
        lambda d: container_of(d, "worker").update(args=["bot"]),
        "bots: bot, worker",
    ),
}


@pytest.mark.parametrize("case", BREAKS)
def test_a_broken_copy_is_noticed(case: str) -> None:
    rule, break_it, complaint = BREAKS[case]
    broken = copy.deepcopy(manifests("prod"))
    break_it(broken)
    assert [said for said in rule(broken) if complaint in said], list(rule(broken))


def validated(documents: Manifests) -> str:
    """Return what Kubernetes' own schemas have against the documents."""
    result = tool(str(TOOLS / "kubernetes-validate"), "--strict", "/dev/stdin", given=yaml.safe_dump_all(documents))
    said = [line for line in (result.stdout + result.stderr).splitlines() if not line.startswith("INFO")]
    assert bool(said) == bool(result.returncode), said
    return "\n".join(said)


def with_component(folder: Any, name: str) -> Manifests:
    """Return an overlay with one more component, as an operator would add it."""
    beside = folder.parent / f".{folder.name}-{name}"
    beside.mkdir()
    try:
        text = {"resources": [f"../{folder.name}"], "components": [f"../../components/{name}"]}
        (beside / "kustomization.yaml").write_text(json.dumps(text))
        documents: Manifests = list(yaml.safe_load_all(built(beside)))
        return documents
    finally:
        (beside / "kustomization.yaml").unlink()
        beside.rmdir()


SOME_RUNS = """
WITH wanted (title, lane, state, due) AS (VALUES
        ('a', 'steps', 'ready', true), ('b', 'steps', 'ready', true), ('c', 'steps', 'ready', false),
        ('d', 'sandbox', 'ready', true), ('e', 'sandbox', 'attention', true)),
     person AS (INSERT INTO users (username) VALUES ('ada') RETURNING id),
     project AS (
        INSERT INTO projects (id, user_id, title, description, status)
        SELECT gen_random_uuid(), id, title, 'a project', 'planning' FROM person, wanted RETURNING id, user_id, title)
INSERT INTO runs (id, project_id, user_id, lane, state, wake_at)
SELECT gen_random_uuid(), project.id, user_id, lane, state,
       now() + CASE WHEN due THEN interval '-1 s' ELSE interval '1 h' END
FROM project JOIN wanted USING (title)
"""
