"""What the manifests in deploy/kubernetes promise, after kubectl has built them.

No cluster runs them here: deploy/kubernetes/README.md says what was not tried.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from api.routes.events import HEARTBEAT_SECONDS
from shared.settings import Settings
from tests.fixtures.deployment.compose import read_dockerfile
from tests.fixtures.deployment.kubernetes import (
    FOLDER,
    JOB_FILE,
    ROOT,
    Manifest,
    build,
    of_kind,
    pod_templates,
    prepare_example,
    selects,
    to_bytes,
)

# The oldest that the README names, and the newest whose schemas are known.
VERSIONS = ["1.30", kubernetes_validate.latest_version()]
# Variables of images and tools that are no settings of ours.
OTHER_VARIABLES = {"NUMBA_CACHE_DIR"}
PODS = ["api", "worker", "models"]
# Of the Prometheus scaler and of ScaledObject, as KEDA 2.20's source names them (pkg/scalers/prometheus_scaler.go,
# config/crd/bases/keda.sh_scaledobjects.yaml).
TRIGGER_FIELDS = {"type", "name", "metricType", "metadata", "authenticationRef", "useCachedMetrics"}
SCALER_FIELDS = {"serverAddress", "query", "threshold", "activationThreshold", "ignoreNullValues", "authModes"}


@pytest.fixture(scope="module", name="base")
def _base() -> list[Manifest]:
    return build(FOLDER / "base")


@pytest.fixture(scope="module", name="everything")
def _everything(tmp_path_factory: pytest.TempPathFactory) -> list[Manifest]:
    overlay = prepare_example(tmp_path_factory.mktemp("kubernetes") / "all", components=True)
    return [*build(overlay), yaml.safe_load(JOB_FILE.read_text())]


@pytest.fixture(scope="module", name="pods")
def _pods(everything: list[Manifest]) -> dict[str, Manifest]:
    return pod_templates(everything)


def container(pod: Manifest) -> Any:
    [only] = pod["spec"]["containers"]
    return only


def settings_of(pod: Manifest, manifests: list[Manifest]) -> dict[str, Any]:
    """Return the variables of a pod's container; None for those whose value is not in the manifests."""
    maps = {**of_kind(manifests, "ConfigMap"), **of_kind(manifests, "Secret")}
    found: dict[str, Any] = {}
    for source in container(pod).get("envFrom", []):
        [reference] = source.values()
        if not reference.get("optional"):
            found |= maps[reference["name"]]["data"]
    return found | {e["name"]: e.get("value") for e in container(pod).get("env", [])}


@pytest.mark.parametrize("version", VERSIONS)
def test_every_manifest_follows_the_schema_of_kubernetes(everything: list[Manifest], version: str) -> None:
    ours = [m for m in everything if m["apiVersion"] != "keda.sh/v1alpha1"]
    assert len(ours) > 10
    for manifest in ours:
        kubernetes_validate.validate(manifest, version, strict=True)


def test_a_field_that_kubernetes_does_not_know_is_found(base: list[Manifest]) -> None:
    manifest = of_kind(base, "PodDisruptionBudget")["stemqueue-api"]
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate({**manifest, "spec": {**manifest["spec"], "maxAvailable": 1}}, "1.30", strict=True)


def test_the_example_builds_without_components_too(tmp_path: Path) -> None:
    kinds = {m["kind"] for m in build(prepare_example(tmp_path / "plain", components=False))}
    assert {"Deployment", "Namespace", "Secret", "NetworkPolicy"} <= kinds
    assert not kinds & {"Ingress", "ScaledObject", "PersistentVolumeClaim"}


@pytest.mark.parametrize("name", PODS)
def test_a_pod_runs_without_privileges(pods: dict[str, Manifest], name: str) -> None:
    spec = pods[name]["spec"]
    user = read_dockerfile(ROOT / {"models": "worker"}.get(name, name) / "Dockerfile")["USER"]
    security = spec["securityContext"]
    assert f"{security['runAsUser']}:{security['runAsGroup']}" == user
    assert (security["runAsNonRoot"], security["seccompProfile"]) == (True, {"type": "RuntimeDefault"})
    assert container(pods[name])["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False, "Service variables could be taken for settings"
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)


def test_the_namespace_refuses_pods_with_more_privileges(everything: list[Manifest]) -> None:
    [namespace] = of_kind(everything, "Namespace").values()
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


@pytest.mark.parametrize("name", PODS)
def test_memory_and_disk_of_a_pod_are_bounded(pods: dict[str, Manifest], name: str) -> None:
    limits = container(pods[name])["resources"]["limits"]
    folders = [v["emptyDir"]["sizeLimit"] for v in pods[name]["spec"]["volumes"] if "emptyDir" in v]
    assert limits["memory"]
    assert sum(map(to_bytes, folders)) <= to_bytes(limits["ephemeral-storage"])


def test_a_job_ends_at_its_own_limits_before_its_worker_is_killed_or_evicted(base: list[Manifest]) -> None:
    worker = pod_templates(base)["worker"]
    settings = Settings(**{k.lower(): v for k, v in settings_of_base(base).items()})
    resources = container(worker)["resources"]
    assert to_bytes(resources["limits"]["memory"]) > settings.max_child_bytes * settings.worker_slots + 500_000_000
    scratch = next(v["emptyDir"]["sizeLimit"] for v in worker["spec"]["volumes"] if v["name"] == "scratch")
    assert to_bytes(scratch) > settings.max_scratch_bytes * settings.worker_slots + 2 * settings.max_upload_bytes


def settings_of_base(base: list[Manifest]) -> dict[str, str]:
    [settings] = of_kind(base, "ConfigMap").values()
    return dict(settings["data"])


def test_a_job_has_as_many_threads_as_its_container_has_processors(base: list[Manifest]) -> None:
    worker = pod_templates(base)["worker"]
    [threads] = [e for e in container(worker)["env"] if e["name"] == "THREADS_PER_JOB"]
    assert threads["valueFrom"]["resourceFieldRef"]["resource"] == "limits.cpu"
    assert settings_of_base(base)["WORKER_SLOTS"] == "1"
    assert int(container(worker)["resources"]["limits"]["cpu"]) >= 1


def test_settings_in_the_manifests_exist_and_are_valid(everything: list[Manifest], pods: dict[str, Manifest]) -> None:
    known = {name.upper() for name in Settings.model_fields}
    for name, pod in pods.items():
        found = settings_of(pod, everything)
        assert set(found) - known <= OTHER_VARIABLES, name
    data = {k.lower(): v for m in of_kind(everything, "ConfigMap").values() for k, v in m["data"].items()}
    assert Settings(**data).api_host == "0.0.0.0"  # noqa: S104 - never listened on


def test_only_the_api_gets_the_webhooks_secret_and_models_get_no_credentials(pods: dict[str, Manifest]) -> None:
    secrets = {
        name: [s["secretRef"]["name"] for s in container(pod).get("envFrom", []) if "secretRef" in s]
        for name, pod in pods.items()
    }
    assert [s.rpartition("-")[0] or s for s in secrets["worker"]] == ["stemqueue-connections"]
    assert "stemqueue-webhooks" in secrets["api"]
    assert secrets["models"] == []


def test_no_secret_is_committed_and_none_can_be_by_accident() -> None:
    for name in ("secrets.env", "webhooks.env"):
        for folder in ("overlays/example", "overlays/ours"):
            ignored = subprocess.run(["git", "check-ignore", "-q", FOLDER / folder / name], cwd=ROOT, check=False)
            assert ignored.returncode == 0, name
    example = (FOLDER / "overlays/example/secrets.env.example").read_text()
    values = dict(re.findall(r"^(\w+)=(.*)$", example, re.MULTILINE))
    assert set(values) == {"REDIS_URL", "S3_ACCESS_KEY_ID", "S3_SECRET_ACCESS_KEY"}
    assert values["REDIS_URL"].split("@")[0].endswith(":PASSWORD")
    assert all(re.fullmatch(r"[A-Z-]+", values[name]) for name in values if name != "REDIS_URL")


def ways_out(everything: list[Manifest], labels: dict[str, str]) -> dict[str, list[int]]:
    """Return the ports to which a pod may connect, by the policy that allows it."""
    found = {}
    for name, policy in of_kind(everything, "NetworkPolicy").items():
        if selects(policy["spec"]["podSelector"], labels) and "Egress" in policy["spec"]["policyTypes"]:
            rules = policy["spec"].get("egress", [])
            assert all(rule["to"] and rule["ports"] for rule in rules), f"{name} allows every address or port"
            found[name] = [port["port"] for rule in rules for port in rule["ports"]]
    return found


def test_workers_reach_redis_the_storage_and_dns_and_nothing_else(
    everything: list[Manifest], pods: dict[str, Manifest]
) -> None:
    found = ways_out(everything, pods["worker"]["metadata"]["labels"])
    assert found == {
        "stemqueue-deny": [],
        "stemqueue-dns": [53, 53],
        "stemqueue-to-redis": [6379],
        "stemqueue-to-storage": [443],
    }


def test_the_job_that_adds_models_reaches_neither_redis_nor_the_cluster(
    everything: list[Manifest], pods: dict[str, Manifest]
) -> None:
    found = ways_out(everything, pods["models"]["metadata"]["labels"])
    assert found == {"stemqueue-deny": [], "stemqueue-dns": [53, 53], "stemqueue-models": [443]}
    [rule] = of_kind(everything, "NetworkPolicy")["stemqueue-models"]["spec"]["egress"]
    assert {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"} <= set(rule["to"][0]["ipBlock"]["except"])


def test_only_named_namespaces_reach_the_api_and_nothing_reaches_a_worker(
    everything: list[Manifest], pods: dict[str, Manifest]
) -> None:
    policies = of_kind(everything, "NetworkPolicy").values()
    for name, pod in pods.items():
        inward = [
            p
            for p in policies
            if selects(p["spec"]["podSelector"], pod["metadata"]["labels"]) and "Ingress" in p["spec"]["policyTypes"]
        ]
        assert "stemqueue-deny" in {p["metadata"]["name"] for p in inward}
        rules = [rule for p in inward for rule in p["spec"].get("ingress", [])]
        assert all(rule["from"] and [port["port"] for port in rule["ports"]] == ["http"] for rule in rules)
        assert len(rules) == (1 if name == "api" else 0)


def test_a_probe_asks_what_the_image_s_health_check_asks(pods: dict[str, Manifest]) -> None:
    check = read_dockerfile(ROOT / "worker/Dockerfile")["HEALTHCHECK"]
    worker, api = container(pods["worker"]), container(pods["api"])
    assert worker["startupProbe"]["exec"]["command"] == check
    assert worker["readinessProbe"]["exec"]["command"] == check
    assert worker["livenessProbe"]["exec"]["command"] == [*check, "--unless-redis-is-away"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        # With /readyz no API pod would be ready while there are no workers, and so nobody could submit a job for one.
        assert api[probe]["httpGet"]["path"] == "/healthz"
        assert api[probe]["httpGet"]["httpHeaders"] == [{"name": "Host", "value": "localhost"}]


def test_a_pod_has_the_time_to_end_that_compose_gives_it(pods: dict[str, Manifest]) -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    for name in ("api", "worker"):
        grace = int(compose["services"][name]["stop_grace_period"].removesuffix("s"))
        pause = container(pods[name]).get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", ["", "0"])
        assert pods[name]["spec"]["terminationGracePeriodSeconds"] - int(pause[1]) >= grace


def test_services_budgets_and_routes_lead_to_pods_that_exist(
    everything: list[Manifest], pods: dict[str, Manifest]
) -> None:
    for name in ("api", "worker"):
        labels = pods[name]["metadata"]["labels"]
        budget = of_kind(everything, "PodDisruptionBudget")[f"stemqueue-{name}"]["spec"]
        assert selects(budget["selector"], labels)
        assert "minAvailable" not in budget, "one pod that must stay would block every drain of its node"
    [service] = of_kind(everything, "Service").values()
    assert service["spec"]["selector"].items() <= pods["api"]["metadata"]["labels"].items()
    [ingress] = of_kind(everything, "Ingress").values()
    [path] = ingress["spec"]["rules"][0]["http"]["paths"]
    assert path["backend"]["service"] == {"name": service["metadata"]["name"], "port": {"name": "http"}}


def test_the_ingress_lets_uploads_and_event_streams_through(everything: list[Manifest]) -> None:
    [ingress] = of_kind(everything, "Ingress").values()
    told = ingress["metadata"]["annotations"]
    default = Settings.model_fields["max_upload_bytes"].default
    assert int(told["nginx.org/client-max-body-size"].removesuffix("m")) * 2**20 > default
    assert int(told["nginx.org/proxy-read-timeout"].removesuffix("s")) > max(60, HEARTBEAT_SECONDS)
    assert told["nginx.org/proxy-buffering"] == "False"


def test_workers_are_scaled_by_metrics_that_exist(everything: list[Manifest]) -> None:
    scaled = of_kind(everything, "ScaledObject")["stemqueue-worker"]["spec"]
    worker = of_kind(everything, "Deployment")[scaled["scaleTargetRef"]["name"]]
    assert "replicas" not in worker["spec"], "kubectl apply would undo the scaling"
    assert scaled["minReplicaCount"] >= 1
    known = set(re.findall(r"\{PREFIX\}(\w+)", (ROOT / "api/monitoring/metrics.py").read_text()))
    for trigger in scaled["triggers"]:
        assert set(trigger) <= TRIGGER_FIELDS
        assert set(trigger["metadata"]) <= SCALER_FIELDS
        assert trigger["metricType"] == "AverageValue", "KEDA takes the highest of the numbers of workers"
        named = set(re.findall(r"stemqueue_(\w+)", trigger["metadata"]["query"]))
        assert named
        assert named <= known


def test_the_models_volume_takes_the_place_of_the_pod_s_own(pods: dict[str, Manifest]) -> None:
    [machine] = [v for v in pods["worker"]["spec"]["volumes"] if v["name"] == "machine"]
    assert machine == {"name": "machine", "persistentVolumeClaim": {"claimName": "stemqueue-models"}}


def test_the_readme_names_every_file() -> None:
    text = (FOLDER / "README.md").read_text()
    files = subprocess.run(
        ["git", "ls-files", "--others", "--cached", "--exclude-standard"],
        cwd=FOLDER,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in set(files.stdout.split()) - {"README.md"}:
        assert Path(name).name in text or f"`{Path(name).parent}/`" in text, name
