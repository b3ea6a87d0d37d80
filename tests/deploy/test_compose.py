"""The compose file: by its own schema, by our rules, and beside the Kubernetes manifests."""

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from bottega.sandbox import seccomp
from tests.deploy import compose_rules as rules
from tests.deploy import kubernetes_rules
from tests.deploy.compose_rules import Compose
from tests.deploy.conftest import DEPLOY, TOOLS, manifests, tool
from tests.deploy.rules import OURS, Names, signs_in_elsewhere, unknown_settings

pytestmark = pytest.mark.deploy

Rule = Callable[[Compose], Iterator[str]]
RULES: tuple[Rule, ...] = (
    rules.every_service_is_bounded,
    rules.every_service_is_watched,
    rules.every_service_is_confined,
    rules.only_what_must_talks,
    rules.every_image_of_a_service_has_a_fixed_tag,
    rules.every_command_of_a_service_is_ours,
    rules.no_secret_is_in_the_compose_file,
)
WALLS_ARE_BUILT_WITH = {
    "mount",
    "mount_setattr",
    "move_mount",
    "open_tree",
    "pivot_root",
    "sethostname",
    "umount2",
    "unshare",
}


def test_it_is_what_compose_understands(compose: Compose, tmp_path: Path) -> None:
    assert checked(compose, tmp_path).returncode == 0


def test_a_misspelled_key_is_noticed(compose: Compose, tmp_path: Path) -> None:
    compose["services"]["api"]["helthcheck"] = compose["services"]["api"].pop("healthcheck")
    assert "helthcheck" in checked(compose, tmp_path).stdout


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_rule_holds(compose: Compose, rule: Rule) -> None:
    assert list(rule(compose)) == []


def test_every_variable_is_a_setting(compose: Compose, secrets: Names) -> None:
    for name, names in rules.variables_of_services(compose, secrets).items():
        assert list(unknown_settings(name, names)) == []


def test_the_sandbox_holds_no_key(compose: Compose, secrets: Names) -> None:
    assert list(rules.the_sandbox_service_holds_no_key(compose, secrets)) == []
    compose["services"]["sandbox"]["env_file"].append("../secrets/storage.env")
    assert list(rules.the_sandbox_service_holds_no_key(compose, secrets)) == [
        "the sandbox holds STORAGE_ACCESS_KEY_ID",
        "the sandbox holds STORAGE_SECRET_ACCESS_KEY",
    ]


def test_the_secret_of_tokens_is_with_the_api_and_the_bot_alone(compose: Compose, secrets: Names) -> None:
    assert list(signs_in_elsewhere(rules.variables_of_services(compose, secrets))) == []
    compose["services"]["bot"]["env_file"].remove("../secrets/access.env")
    compose["services"]["worker"]["env_file"].append("../secrets/access.env")
    assert list(signs_in_elsewhere(rules.variables_of_services(compose, secrets))) == [
        "bot cannot sign anybody in",
        "worker holds JWT_SECRET",
    ]


def test_compose_and_kubernetes_set_the_same_for_each_process(compose: Compose, secrets: Names) -> None:
    here = rules.variables_of_services(compose, secrets)
    for overlay in ("dev", "prod", "keda"):
        assert kubernetes_rules.variables(manifests(overlay), secrets) == here


def test_compose_and_kubernetes_run_the_same_commands(compose: Compose) -> None:
    there = {
        where.partition("/")[0]: container for _, where, container in kubernetes_rules.containers(manifests("prod"))
    }
    for name in OURS:
        assert there[name]["args"] == compose["services"][name]["command"]
    for name in ("postgres", "redis"):
        image = compose["services"][name]["image"].partition(":-")[2].rstrip("}")
        assert there[name]["image"] == image


def test_every_file_that_is_read_is_written_or_there(compose: Compose, secrets: Names) -> None:
    for service in compose["services"].values():
        for file in service.get("env_file", []):
            assert Path(file).stem in secrets
        for option in service.get("security_opt", []):
            if option.startswith("seccomp:"):
                assert (DEPLOY / "docker" / option.removeprefix("seccomp:")).is_file()


def test_the_sandbox_filter_refuses_what_checks_are_refused_but_for_what_walls_are_built_with() -> None:
    profile = json.loads((DEPLOY / "docker" / "sandbox-seccomp.json").read_text(encoding="utf-8"))
    refused = {name for rule in profile["syscalls"] if not rule.get("args") for name in rule["names"]}
    assert refused == set(seccomp._DENIED.split()) - WALLS_ARE_BUILT_WITH
    assert {rule["action"] for rule in profile["syscalls"]} == {"SCMP_ACT_ERRNO"}


def service(compose: Compose, name: str) -> dict[str, Any]:
    found: dict[str, Any] = compose["services"][name]
    return found


BREAKS: dict[str, tuple[Rule, Callable[[Compose], Any], str]] = {
    "no limit": (RULES[0], lambda c: service(c, "redis").pop("deploy"), "redis has no limit of cpus, memory, pids"),
    "no health check": (RULES[1], lambda c: service(c, "worker").pop("healthcheck"), "worker has no health check"),
    "an endless log": (RULES[1], lambda c: service(c, "redis").pop("logging"), "fills the disk"),
    "a writable root": (RULES[2], lambda c: service(c, "api").update(read_only=False), "api can write to its own root"),
    "a capability": (RULES[2], lambda c: service(c, "sandbox").update(cap_add=["SYS_ADMIN"]), "sandbox has capab"),
    "privileged": (RULES[2], lambda c: service(c, "sandbox").update(privileged=True), "sandbox may gain privileges"),
    "root": (RULES[2], lambda c: service(c, "worker").update(user="0"), "worker does not run as 10001"),
    "a filter off": (
        RULES[2],
        lambda c: service(c, "api")["security_opt"].append("seccomp:unconfined"),
        "api has filters of its own",
    ),
    "the database outside": (
        RULES[3],
        lambda c: service(c, "postgres").update(networks=["database", "outside"]),
        "postgres reaches the internet",
    ),
    "the database published": (
        RULES[3],
        lambda c: service(c, "postgres").update(ports=["5432:5432"]),
        "postgres publishes 5432:5432",
    ),
    "the API on every address": (RULES[3], lambda c: service(c, "api").update(ports=["8080:8080"]), "api publishes"),
    "the sandbox beside the archives": (
        RULES[3],
        lambda c: service(c, "sandbox").update(networks=["database", "archives"]),
        "the sandbox reaches more",
    ),
    "latest": (RULES[4], lambda c: service(c, "redis").update(image="${REDIS_IMAGE:-redis:latest}"), "no fixed tag"),
    "no such command": (RULES[5], lambda c: service(c, "migrate").update(command=["db", "migrate"]), "No such command"),
    "a secret shown": (
        RULES[6],
        lambda c: service(c, "api")["environment"].update(STRIPE_SECRET_KEY="x"),
        "api shows STRIPE_SECRET_KEY",
    ),
}


@pytest.mark.parametrize("case", BREAKS)
def test_a_broken_copy_is_noticed(compose: Compose, case: str) -> None:
    rule, break_it, complaint = BREAKS[case]
    broken = copy.deepcopy(compose)
    break_it(broken)
    assert [said for said in rule(broken) if complaint in said], list(rule(broken))


def checked(compose: Compose, folder: Path) -> Any:
    file = folder / "compose.yml"
    file.write_text(yaml.safe_dump(compose), encoding="utf-8")
    return tool(str(TOOLS / "check-jsonschema"), "--builtin-schema", "vendor.compose-spec", str(file))
