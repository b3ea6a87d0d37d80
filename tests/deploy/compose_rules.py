"""What must hold of the compose file."""

import re
from collections.abc import Iterator
from typing import Any

from tests.deploy.rules import OURS, SECRETS, Names, not_a_command, too_much_for_the_sandbox, untagged

Compose = dict[str, Any]


def every_service_is_bounded(compose: Compose) -> Iterator[str]:
    for name, service in compose["services"].items():
        missing = {"cpus", "memory", "pids"} - service.get("deploy", {}).get("resources", {}).get("limits", {}).keys()
        if missing:
            yield f"{name} has no limit of {', '.join(sorted(missing))}"


def every_service_is_watched(compose: Compose) -> Iterator[str]:
    for name, service in compose["services"].items():
        runs_once = service.get("restart") == "no"
        if "test" not in service.get("healthcheck", {}) and not runs_once:
            yield f"{name} has no health check"
        if "restart" not in service:
            yield f"{name} stays down"
        if "max-size" not in service.get("logging", {}).get("options", {}):
            yield f"the log of {name} fills the disk"


def every_service_is_confined(compose: Compose) -> Iterator[str]:
    for name, service in compose["services"].items():
        if not service.get("read_only"):
            yield f"{name} can write to its own root"
        if service.get("cap_drop") != ["ALL"] or (service.get("cap_add") and name != "postgres"):
            yield f"{name} has capabilities"
        if "no-new-privileges:true" not in service.get("security_opt", []) or service.get("privileged"):
            yield f"{name} may gain privileges"
        if name in OURS and service.get("user") != "10001:10001":
            yield f"{name} does not run as 10001"
        loosened = [o for o in service.get("security_opt", []) if o.startswith(("seccomp", "apparmor"))]
        if loosened and name != "sandbox":
            yield f"{name} has filters of its own"


def only_what_must_talks(compose: Compose) -> Iterator[str]:
    internal = {name for name, network in compose["networks"].items() if (network or {}).get("internal")}
    for name, service in compose["services"].items():
        if not set(service["networks"]) <= internal and name not in {"api", "bot", "worker"}:
            yield f"{name} reaches the internet"
        for port in service.get("ports", []):
            if name != "api" or not re.fullmatch(r"\$\{API_ADDRESS:-127\.0\.0\.1:\d+\}:8080", port):
                yield f"{name} publishes {port}"
    if compose["services"]["sandbox"]["networks"] != ["database"]:
        yield "the sandbox reaches more than the database and Redis"


def every_image_of_a_service_has_a_fixed_tag(compose: Compose) -> Iterator[str]:
    for name, service in compose["services"].items():
        yield from untagged(name, service["image"])


def every_command_of_a_service_is_ours(compose: Compose) -> Iterator[str]:
    for name in OURS:
        yield from not_a_command(name, compose["services"][name]["command"])


def variables_of_services(compose: Compose, secrets: Names) -> dict[str, set[str]]:
    found = {}
    for name in OURS:
        service = compose["services"][name]
        files = [re.sub(r"^\.\./secrets/(.*)\.env$", r"\1", file) for file in service["env_file"]]
        found[name] = set(service.get("environment", {})).union(*(secrets[file] for file in files))
    return found


def the_sandbox_service_holds_no_key(compose: Compose, secrets: Names) -> Iterator[str]:
    yield from too_much_for_the_sandbox(variables_of_services(compose, secrets)["sandbox"])


def no_secret_is_in_the_compose_file(compose: Compose) -> Iterator[str]:
    for name, service in compose["services"].items():
        for key in sorted(set(service.get("environment", {})) & SECRETS):
            yield f"{name} shows {key}"
