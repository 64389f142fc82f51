"""Changes of .env on a running stack: a way out for the workers, and the profile `monitoring`."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from tests.compose.stack import ComposeStack, wait_until
from tests.fixtures.deployment.monitoring import alerts


@pytest.fixture(scope="module")
def changed(second_stack: ComposeStack) -> ComposeStack:
    """The second stack after both changes, and one `docker compose up --detach`."""
    if not second_stack.containers("api"):
        second_stack.up()
    made = second_stack.compose("exec", "-T", "api", "stemqueue-admin", "keys", "create", "--scope", "metrics")
    key = next(line for line in made.splitlines() if not line.startswith("key "))
    second_stack.set(NETWORK_INTERNAL="false", METRICS_API_KEY=key, COMPOSE_PROFILES="storage,monitoring")
    second_stack.up()
    return second_stack


def test_workers_have_a_way_out_when_the_setting_says_so(changed: ComposeStack) -> None:
    for service in ("redis", "storage", "api", "worker", "prometheus"):
        [state] = changed.inspect(service)
        networks = state["NetworkSettings"]["Networks"]
        [ours] = [name for name in networks if "_backend_" in name]
        assert ours == f"{changed.project}_backend_internal_false", service
        assert networks[ours]["Gateway"], service
    routes = changed.compose("exec", "-T", "worker", "cat", "/proc/net/route").splitlines()[1:]
    assert [line for line in routes if line.split()[1] == "00000000"], "a default route"


def test_prometheus_reads_its_targets_and_has_loaded_the_rules(changed: ComposeStack) -> None:
    def ask(path: str) -> Any:
        url = f"http://127.0.0.1:{changed.prometheus_port}/api/v1/{path}"
        return httpx2.get(url, timeout=10).raise_for_status().json()["data"]

    def targets() -> dict[str, str]:
        return {target["labels"]["job"]: target["health"] for target in ask("targets")["activeTargets"]}

    def values(query: str) -> list[str]:
        return [series["value"][1] for series in ask(f"query?query={query}")["result"]]

    everything_is_up = {"stemqueue": "up", "storage": "up"}
    wait_until(lambda: targets() == everything_is_up, what="reading of each target")
    # The workers of before the change are counted for some seconds.
    wait_until(lambda: values("stemqueue_workers") == ["1"], what="sight of the one worker")
    # What SeaweedFS alone knows: how full its disk is.
    wait_until(lambda: values("SeaweedFS_volumeServer_resource"), what="sight of the disk")
    rules = [rule for group in ask("rules")["groups"] for rule in group["rules"]]
    assert len(rules) == len(alerts())
