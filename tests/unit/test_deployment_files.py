"""What docker-compose.yml, the Dockerfiles and .env.example promise, as far as reading them can tell.

tests/integration/test_deployment.py runs what they say.
"""

from __future__ import annotations

import re
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from api.access.authentication import keys_required
from api.access.host_and_origin import allowed_hosts
from shared.settings import Settings
from tests.fixtures.deployment.compose import (
    ROOT,
    VariableMissingError,
    read_compose,
    read_definition,
    read_dockerfile,
    read_env_file,
    variables_named,
)

SECRETS = {"REDIS_PASSWORD": "r", "S3_ACCESS_KEY_ID": "a", "S3_SECRET_ACCESS_KEY": "s"}
SERVICES = ["redis", "storage", "api", "worker", "prometheus", "grafana"]
PASSWORD = "GRAFANA_PASSWORD"
"""Of the profile `monitoring`: made like a secret, and only needed there."""
SCRIPTS = sorted((ROOT / "deploy").rglob("*.sh"))
# What Compose itself reads from the env file.
OF_COMPOSE = {"COMPOSE_PROFILES"}
DOCKERFILES = ["api/Dockerfile", "worker/Dockerfile", "deploy/storage/Dockerfile"]


@pytest.fixture(name="definition")
def _definition() -> dict[str, Any]:
    return read_definition(SECRETS)


def run_tool(name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    tool = Path(sysconfig.get_path("scripts")) / name
    return subprocess.run([tool, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_compose_file_follows_the_compose_specification() -> None:
    done = run_tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", "docker-compose.yml")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_hadolint_has_nothing_to_say_about_a_dockerfile(dockerfile: str) -> None:
    done = run_tool("hadolint", dockerfile)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: str(script.relative_to(ROOT)))
def test_a_shell_script_parses(script: Path) -> None:
    subprocess.run(["sh", "-n", script], check=True)


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_runs_without_privileges(definition: dict[str, Any], name: str) -> None:
    service = definition["services"][name]
    user = service.get("user") or read_dockerfile(ROOT / name / "Dockerfile")["USER"]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user), "a number, so that an orchestrator can tell that it is not root"
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_watched_bounded_and_stopped_gently(definition: dict[str, Any], name: str) -> None:
    service = definition["services"][name]
    assert service["healthcheck"]["test"]
    assert service["healthcheck"]["start_interval"] in {"1s", "2s"}, "healthy when it is ready"
    assert service["mem_limit"]
    assert service["pids_limit"]
    assert service["init"] is True
    assert int(service["stop_grace_period"].removesuffix("s")) >= 30


def test_only_the_api_is_published_and_only_on_loopback_unless_told_otherwise(definition: dict[str, Any]) -> None:
    always = {name: s for name, s in definition["services"].items() if s.get("profiles") != ["proxy"]}
    published = {name: s["ports"] for name, s in always.items() if "ports" in s}
    api = {"target": 8000, "published": "8000", "host_ip": "127.0.0.1"}
    monitoring = {"prometheus": ["127.0.0.1:9090:9090"], "grafana": ["127.0.0.1:3000:3000"]}
    assert published == {"api": [api], **monitoring}
    assert all(definition["services"][name]["profiles"] == ["monitoring"] for name in monitoring)
    told = read_definition({**SECRETS, "PUBLISH_ADDRESS": "::1", "API_PORT": "9000"})
    assert told["services"]["api"]["ports"] == [{"target": 8000, "published": "9000", "host_ip": "::1"}]


def test_workers_have_no_way_out(definition: dict[str, Any]) -> None:
    assert definition["services"]["worker"]["networks"] == ["backend"]
    assert definition["networks"]["backend"] == {
        "name": "stemqueue_backend_internal_true",
        "internal": "true",
        # Nor to services of the host that listen on the bridge's address.
        "driver_opts": {"com.docker.network.bridge.inhibit_ipv4": "true"},
    }
    told = read_definition({**SECRETS, "NETWORK_INTERNAL": "false"})
    opened = told["networks"]["backend"]
    assert opened["driver_opts"] == {"com.docker.network.bridge.inhibit_ipv4": "false"}, "the bridge is the way out"
    # Compose changes neither a network that exists nor containers whose own definition is the same.
    assert opened["name"] != definition["networks"]["backend"]["name"]
    for name in ("redis", "storage", "api", "worker", "prometheus"):
        assert told["services"][name]["labels"] != definition["services"][name]["labels"], name


def test_the_api_keeps_checking_hosts_though_it_listens_on_every_address(definition: dict[str, Any]) -> None:
    assert definition["services"]["api"]["environment"]["API_ALLOWED_HOSTS"]


def test_models_are_added_by_a_service_with_a_way_out_and_no_credentials(definition: dict[str, Any]) -> None:
    models, worker = definition["services"]["models"], definition["services"]["worker"]
    assert models["profiles"] == ["models"]
    assert models["networks"] == ["front"]
    assert "env_file" not in models
    assert set(models["environment"]) == {"MODEL_FOLDER", "NUMBA_CACHE_DIR"}
    assert models["environment"].items() <= worker["environment"].items()
    assert set(models["volumes"]) <= set(worker["volumes"])
    assert models["build"] == {**worker["build"], "target": "models"}
    image = read_dockerfile(ROOT / "worker/Dockerfile", "models")
    assert (image["ENTRYPOINT"], image["CMD"]) == (["stemqueue-models"], ["list"])


def test_the_proxy_is_a_profile_that_runs_without_privileges(definition: dict[str, Any]) -> None:
    proxy = definition["services"]["proxy"]
    assert proxy["profiles"] == ["proxy"]
    assert (proxy["cap_drop"], proxy["cap_add"]) == (["ALL"], ["NET_BIND_SERVICE"])
    assert proxy["read_only"] is True
    assert proxy["security_opt"] == ["no-new-privileges:true"]
    assert proxy["networks"] == ["front"], "it reaches the API, and neither Redis nor storage"
    assert (ROOT / proxy["volumes"][0].partition(":")[0]).is_file()


def test_the_proxy_does_not_start_without_a_name(definition: dict[str, Any]) -> None:
    command = [
        *definition["services"]["proxy"]["entrypoint"][:-1],
        "caddy() { echo began; }; " + (definition["services"]["proxy"]["entrypoint"][-1].replace("exec ", "")),
    ]
    refused = subprocess.run(command, env={"PUBLIC_NAME": ""}, check=False, capture_output=True, text=True)
    assert (refused.returncode != 0, "set PUBLIC_NAME" in refused.stderr, refused.stdout) == (True, True, "")
    begun = subprocess.run(command, env={"PUBLIC_NAME": "a.example"}, check=True, capture_output=True, text=True)
    assert begun.stdout == "began\n"


def test_grafana_does_not_start_without_a_password(definition: dict[str, Any]) -> None:
    shell, option, script = definition["services"]["grafana"]["entrypoint"]
    command = [shell, option, script.replace("exec /run.sh", "echo began")]
    refused = subprocess.run(
        command, env={"GF_SECURITY_ADMIN_PASSWORD": ""}, check=False, capture_output=True, text=True
    )
    assert (refused.returncode != 0, "set GRAFANA_PASSWORD" in refused.stderr, refused.stdout) == (True, True, "")
    begun = subprocess.run(command, env={"GF_SECURITY_ADMIN_PASSWORD": "x"}, check=True, capture_output=True, text=True)
    assert begun.stdout == "began\n"


def test_the_name_that_the_proxy_has_makes_the_api_ask_for_keys() -> None:
    in_compose = Settings(api_host="192.0.2.1", api_published_address="127.0.0.1", api_allowed_hosts="localhost")
    for settings in (Settings(), in_compose):
        named = settings.model_copy(update={"public_name": "music.example"})
        assert keys_required(named)
        assert "music.example" in (allowed_hosts(named) or ())
        assert not keys_required(settings)


def test_nothing_stands_in_the_way_of_more_workers(definition: dict[str, Any]) -> None:
    worker = definition["services"]["worker"]
    assert not {"container_name", "hostname", "ports"} & set(worker)
    assert "scratch:/scratch" in worker["volumes"], "a named volume: anonymous ones stay when a worker is removed"


def test_every_image_from_elsewhere_is_pinned_to_a_version(definition: dict[str, Any]) -> None:
    images = [s["image"] for s in definition["services"].values() if "build" not in s]
    for dockerfile in DOCKERFILES:
        text = (ROOT / dockerfile).read_text()
        stages = re.findall(r"^FROM .* AS (\S+)$", text, re.MULTILINE)
        # An argument of a build counts by its default.
        named = re.findall(r"^(?:FROM |ARG \w+_IMAGE=)([^\s$]+)", text, re.MULTILINE)
        images += [name for name in named if name not in stages]
    for image in images:
        assert re.search(r":.*\d+\.\d+", image), image


@pytest.mark.parametrize("package", ["api", "worker"])
def test_an_image_alone_runs_and_checks_what_compose_does(definition: dict[str, Any], package: str) -> None:
    service, image = definition["services"][package], read_dockerfile(ROOT / package / "Dockerfile")
    assert image["CMD"] == service["command"]
    assert ["CMD", *image["HEALTHCHECK"]] == service["healthcheck"]["test"]


@pytest.mark.parametrize(("package", "other"), [("api", "worker"), ("worker", "api")])
def test_an_image_installs_its_own_lock_and_copies_its_own_package(package: str, other: str) -> None:
    text = (ROOT / package / "Dockerfile").read_text()
    assert f"requirements/{package}.txt" in text
    assert f"requirements/{other}.txt" not in text
    assert f"COPY {other} " not in text
    for line in re.findall(r"pip install.*|pip \S+ \S+ install.*", text):
        assert "--require-hashes" in line or "--no-index" in line, line


@pytest.mark.parametrize("missing", sorted(SECRETS))
def test_a_missing_secret_ends_in_a_message_that_says_what_to_do(missing: str) -> None:
    with pytest.raises(VariableMissingError, match=rf"{missing}: run deploy/make-env\.sh first"):
        read_compose({**SECRETS, missing: ""})


def test_redis_sees_no_storage_key_and_storage_no_redis_password(definition: dict[str, Any]) -> None:
    assert set(definition["services"]["redis"]["environment"]) == {"REDIS_PASSWORD", "REDIS_MAX_MEMORY"}
    assert "REDIS_PASSWORD" not in definition["services"]["storage"]["environment"]


@pytest.mark.parametrize(
    ("service", "names"),
    [
        ("api", ["GRAFANA_PASSWORD", "METRICS_API_KEY"]),
        ("worker", ["GRAFANA_PASSWORD", "METRICS_API_KEY", "WEBHOOK_SECRETS"]),
    ],
)
def test_a_service_gets_no_secret_that_only_others_need(
    definition: dict[str, Any], service: str, names: list[str]
) -> None:
    """The whole of .env is in its environment, unless the service says otherwise."""
    assert definition["services"][service]["env_file"] == ".env"
    assert {name: definition["services"][service]["environment"][name] for name in names} == dict.fromkeys(names, "")


def test_no_secret_stands_in_a_file_of_the_repository() -> None:
    example = read_env_file(ROOT / ".env.example")
    assert {name for name, value in example.items() if not value} >= {*SECRETS, PASSWORD}
    assert set(example) == {*SECRETS, PASSWORD, *OF_COMPOSE}, "the rest is commented out, with its default"
    ignored = subprocess.run(["git", "check-ignore", "-q", ".env"], cwd=ROOT, check=False)
    assert ignored.returncode == 0


def test_env_example_names_every_variable_of_the_compose_file_and_none_that_nobody_reads() -> None:
    text = (ROOT / ".env.example").read_text()
    named = set(re.findall(r"^#?([A-Z][A-Z0-9_]+)=", text, re.M))
    settings = {name.upper() for name in Settings.model_fields}
    assert variables_named() <= named
    assert named <= variables_named() | settings | OF_COMPOSE


def test_the_defaults_that_env_example_shows_are_the_ones_that_hold() -> None:
    shown = dict(re.findall(r"^#([A-Z][A-Z0-9_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.M))
    compose = (ROOT / "docker-compose.yml").read_text()
    for name, value in shown.items():
        in_compose = re.search(rf"\$\{{{name}:?-([^}}]*)\}}", compose)
        if in_compose:
            assert in_compose[1] == value, name
        else:
            default = Settings.model_fields[name.lower()].default
            assert (
                f"{default:g}" if isinstance(default, float) else "" if default is None else str(default)
            ) == value, name


def test_the_image_context_holds_what_the_dockerfiles_copy_and_no_env_file() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = set()
    for dockerfile in DOCKERFILES:
        text = (ROOT / dockerfile).read_text().replace("\\\n", "")
        for sources in re.findall(r"^COPY (?!--from)(?:--\S+ )?(.+) \S+$", text, re.M):
            copied |= set(sources.split())
    for source in copied:
        assert any(source == a or source.startswith(f"{a}/") for a in allowed), source
        assert (ROOT / source).exists(), source
    assert not any(".env" in a for a in allowed)


def test_make_env_fills_in_secrets_that_only_the_owner_can_read_and_never_replaces_them(tmp_path: Path) -> None:
    (tmp_path / ".env.example").write_text((ROOT / ".env.example").read_text())
    command = ["sh", str(ROOT / "deploy/make-env.sh"), str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True)
    made = read_env_file(tmp_path / ".env")
    assert (tmp_path / ".env").stat().st_mode & 0o777 == 0o600
    names = (*SECRETS, PASSWORD)
    assert len({made[name] for name in names}) == len(names)
    assert all(re.fullmatch(r"(stems)?[0-9a-f]{48}", made[name]) for name in names)
    again = subprocess.run(command, check=False, capture_output=True, text=True)
    assert again.returncode == 1
    assert "already" in again.stderr
    assert read_env_file(tmp_path / ".env") == made


def test_the_storages_image_has_seaweedfs_from_where_the_env_file_says() -> None:
    build = read_definition(SECRETS)["services"]["storage"]["build"]
    [default] = re.findall(r"^ARG SEAWEEDFS_IMAGE=(\S+)$", (ROOT / build["dockerfile"]).read_text(), re.M)
    assert build["args"]["SEAWEEDFS_IMAGE"] == default
    told = read_definition({**SECRETS, "STORAGE_IMAGE": "elsewhere/seaweedfs:4.48"})["services"]["storage"]["build"]
    assert told["args"]["SEAWEEDFS_IMAGE"] == "elsewhere/seaweedfs:4.48"
