"""What must hold of the Kubernetes manifests, as kustomize makes them."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from tests.deploy.rules import OURS, SECRETS, Names, not_a_command, too_much_for_the_sandbox, untagged

Manifest = dict[str, Any]
Manifests = list[Manifest]

COMPONENT = "app.kubernetes.io/component"
WORKLOADS = ("Deployment", "StatefulSet", "Job")


def pods(documents: Manifests) -> Iterator[tuple[str, str, Manifest]]:
    """Yield the kind, the name and the pod template of every workload."""
    for document in documents:
        if document["kind"] in WORKLOADS:
            yield document["kind"], document["metadata"]["name"], document["spec"]["template"]


def containers(documents: Manifests) -> Iterator[tuple[str, str, Manifest]]:
    for kind, name, pod in pods(documents):
        for container in (*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]):
            yield kind, f"{name}/{container['name']}", container


def every_container_is_bounded(documents: Manifests) -> Iterator[str]:
    for _, where, container in containers(documents):
        for side in ("requests", "limits"):
            missing = {"cpu", "memory", "ephemeral-storage"} - container.get("resources", {}).get(side, {}).keys()
            if missing:
                yield f"{where} has no {side} of {', '.join(sorted(missing))}"
        resources = container.get("resources", {})
        if resources.get("requests", {}).get("memory") != resources.get("limits", {}).get("memory"):
            yield f"{where} may use memory that nobody kept for it"


def every_container_is_asked_how_it_is(documents: Manifests) -> Iterator[str]:
    for kind, where, container in containers(documents):
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            if kind != "Job" and probe not in container:
                yield f"{where} has no {probe}"


def every_pod_is_restricted(documents: Manifests) -> Iterator[str]:
    """Hold pods to what the namespace's `restricted` label asks, and to more."""
    for _, name, pod in pods(documents):
        spec, security = pod["spec"], pod["spec"].get("securityContext", {})
        if not security.get("runAsNonRoot") or not security.get("runAsUser"):
            yield f"{name} may run as root"
        if security.get("seccompProfile", {}).get("type") not in {"RuntimeDefault", "Localhost"}:
            yield f"{name} has no seccomp profile"
        if spec.get("automountServiceAccountToken") is not False:
            yield f"{name} carries a token of the cluster"
        if spec.get("enableServiceLinks") is not False:
            yield f"{name} is told of Services by variables: POSTGRES_PORT would be tcp://..."
        if spec.get("terminationGracePeriodSeconds", 0) < 60:
            yield f"{name} is killed before it could end"
        if any("hostPath" in volume for volume in spec.get("volumes", [])) or spec.get("hostNetwork"):
            yield f"{name} shares the host's files or network"


def every_container_is_restricted(documents: Manifests) -> Iterator[str]:
    for _, where, container in containers(documents):
        security = container.get("securityContext", {})
        if security.get("allowPrivilegeEscalation") is not False or security.get("privileged"):
            yield f"{where} may gain privileges"
        if not security.get("readOnlyRootFilesystem"):
            yield f"{where} can write to its own root"
        if security.get("capabilities", {}).get("drop") != ["ALL"] or security["capabilities"].get("add"):
            yield f"{where} has capabilities"


def every_image_has_a_fixed_tag(documents: Manifests) -> Iterator[str]:
    for _, where, container in containers(documents):
        yield from untagged(where, container["image"])


def no_secret_is_in_a_config_map(documents: Manifests) -> Iterator[str]:
    for document in documents:
        name = document["metadata"]["name"]
        if document["kind"] == "Secret":
            yield f"the Secret {name} is written into a file"
        if document["kind"] == "ConfigMap":
            for key, value in document.get("data", {}).items():
                if key in SECRETS or re.search(r"://[^/\s]*:[^/\s]*@", value):
                    yield f"{name} shows {key}"
    for _, where, container in containers(documents):
        for variable in container.get("env", []):
            if variable["name"] in SECRETS and "valueFrom" not in variable:
                yield f"{where} shows {variable['name']}"


def variables(documents: Manifests, secrets: Names) -> dict[str, set[str]]:
    """Return the names of the variables that each container of ours sees, by component."""
    maps = {d["metadata"]["name"]: set(d.get("data", {})) for d in documents if d["kind"] == "ConfigMap"}
    found: dict[str, set[str]] = {}
    for _, where, container in containers(documents):
        names = found.setdefault(where.partition("/")[0], set())
        names |= {variable["name"] for variable in container.get("env", [])}
        for source in container.get("envFrom", []):
            if "configMapRef" in source:
                names |= maps[source["configMapRef"]["name"]]
            else:
                names |= secrets[source["secretRef"]["name"].removeprefix("bottega-")]
    return {name: names for name, names in found.items() if name in OURS}


def every_command_is_ours(documents: Manifests) -> Iterator[str]:
    for _, where, container in containers(documents):
        if where.partition("/")[0] in OURS:
            if "command" in container and container["command"][0] != "/usr/bin/tini":
                yield f"{where} goes round the image's entry point"
            yield from not_a_command(where, container.get("args", []))


def selected(selector: Manifest, labels: Mapping[str, str]) -> bool:
    """Say whether a label selector, as far as our files use its forms, chooses these labels."""
    by_value = all(labels.get(key) == value for key, value in (selector.get("matchLabels") or {}).items())
    wanted = selector.get("matchExpressions") or []
    assert all(term["operator"] == "In" for term in wanted)
    return by_value and all(labels.get(term["key"]) in term["values"] for term in wanted)


def labels(documents: Manifests) -> dict[str, Mapping[str, str]]:
    return {name: pod["metadata"]["labels"] for _, name, pod in pods(documents)}


def everything_selected_is_there(documents: Manifests) -> Iterator[str]:
    there = labels(documents)
    for document in documents:
        kind, name, spec = document["kind"], document["metadata"]["name"], document.get("spec", {})
        selector = {
            "NetworkPolicy": spec.get("podSelector"),
            "PodDisruptionBudget": spec.get("selector"),
            "Service": {"matchLabels": spec.get("selector")},
        }.get(kind)
        if selector is not None and not any(selected(selector, pod) for pod in there.values()):
            yield f"the {kind} {name} selects nothing"


def policies(documents: Manifests, *, component: str, way: str) -> Iterator[tuple[str, Manifest]]:
    """Yield every rule that lets traffic into (or out of) a component's pods, with its policy's name."""
    there = labels(documents)
    for document in documents:
        if document["kind"] == "NetworkPolicy" and selected(document["spec"]["podSelector"], there[component]):
            for rule in document["spec"].get(way, []):
                yield document["metadata"]["name"], rule


def nothing_listens_unknown(documents: Manifests) -> Iterator[str]:
    """Compare what containers listen on with what may reach them, in both directions."""
    denied = any(
        d["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
        for d in documents
        if d["kind"] == "NetworkPolicy"
    )
    if not denied:
        yield "what no policy names is not denied"
    for _, name, pod in pods(documents):
        listening = {port["containerPort"] for c in pod["spec"]["containers"] for port in c.get("ports", [])}
        rules = [rule for _, rule in policies(documents, component=name, way="ingress")]
        if any(not rule.get("ports") or not rule.get("from") for rule in rules):
            yield f"{name} may be reached from anywhere, or on every port"
        admitted = {port["port"] for rule in rules for port in rule.get("ports", [])}
        for port in sorted(listening ^ admitted):
            yield f"{name}: {port} is {'never admitted' if port in listening else 'admitted and nothing listens'}"


def what_is_called_may_be_called(documents: Manifests) -> Iterator[str]:
    """See that whoever may call a component is let in there, and that the sandbox calls two servers and nobody else."""
    there = labels(documents)
    for name in there:
        for policy, rule in policies(documents, component=name, way="egress"):
            inside = (peer for peer in rule.get("to", []) if "podSelector" in peer and "namespaceSelector" not in peer)
            for peer in inside:
                for callee in (other for other in there if selected(peer["podSelector"], there[other])):
                    if not _admits(documents, callee, caller=there[name], ports=rule["ports"]):
                        yield f"{policy}: {callee} does not let {name} in"
    for policy, rule in policies(documents, component="sandbox", way="egress"):
        if policy not in {"names", "to-the-database", "to-redis"} or not rule.get("to"):
            yield f"{policy} lets the sandbox out"


def _admits(documents: Manifests, callee: str, *, caller: Mapping[str, str], ports: list[Manifest]) -> bool:
    nobody: Manifest = {"matchLabels": {COMPONENT: ""}}
    rules = [rule for _, rule in policies(documents, component=callee, way="ingress") if rule["ports"] == ports]
    return any(selected(peer.get("podSelector", nobody), caller) for rule in rules for peer in rule["from"])


def nobody_is_steered_twice(documents: Manifests) -> Iterator[str]:
    steered: dict[str, int] = {}
    for document in documents:
        if document["kind"] in {"HorizontalPodAutoscaler", "ScaledObject"}:
            target = document["spec"]["scaleTargetRef"]["name"]
            steered[target] = steered.get(target, 0) + 1
    there = {d["metadata"]["name"]: d for d in documents if d["kind"] == "Deployment"}
    for target, count in steered.items():
        if count > 1:
            yield f"{target} is steered by {count}"
        if target not in there or "replicas" in there[target]["spec"]:
            yield f"{target} is not there, or says its own number of replicas"


def one_bot_asks_telegram(documents: Manifests) -> Iterator[str]:
    """Two that ask for updates refuse each other: the old one ends before the new one begins, and nothing adds one."""
    [bot] = [d["spec"] for d in documents if d["kind"] == "Deployment" and d["metadata"]["name"] == "bot"]
    if bot.get("replicas") != 1 or bot.get("strategy", {}).get("type") != "Recreate":
        yield "there may be two bots at once"
    others = [name for _, name, pod in pods(documents) for c in pod["spec"]["containers"] if c.get("args") == ["bot"]]
    if others != ["bot"]:
        yield f"bots: {', '.join(others)}"


def the_sandbox_holds_no_key(documents: Manifests, secrets: Names) -> Iterator[str]:
    yield from too_much_for_the_sandbox(variables(documents, secrets)["sandbox"])
    for name, pod in ((name, pod) for _, name, pod in pods(documents) if name in {"sandbox", "migrate"}):
        given = {volume["secret"]["secretName"] for volume in pod["spec"]["volumes"] if "secret" in volume}
        given |= {s["secretRef"]["name"] for c in pod["spec"]["containers"] for s in c["envFrom"] if "secretRef" in s}
        for secret in sorted(given - {"bottega-database", "bottega-redis", "bottega-keyless"}):
            yield f"{name} is given {secret}"
