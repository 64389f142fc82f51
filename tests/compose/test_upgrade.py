"""With what was made during the outage: a further network, an upgrade in the middle of a job. Then down and up."""

from __future__ import annotations

import pytest

from tests.compose.outage import Outage
from tests.compose.stack import PROJECT, TAG, ComposeStack, docker, layers
from tests.fixtures.sounds.songs import Songs

MEGABYTE = 1_000_000


@pytest.mark.parametrize("name", ["api", "worker"])
def test_an_upgrade_of_our_own_code_adds_few_megabytes(outage: Outage, name: str) -> None:
    before, image = outage.layers_before[name], f"stemqueue-{name}:{TAG}"
    after = layers(image)
    assert (before[:-1], before[-1] != after[-1]) == (after[:-1], True), "only our own layer is another"
    shown = docker("history", "--human=false", "--format", "{{.Size}} {{.CreatedBy}}", image)
    size = int(next(line.split()[0] for line in shown.splitlines() if " COPY /ours " in line))
    print(f"an upgrade of {name} adds {size / MEGABYTE:.1f} MB")
    assert size < 20 * MEGABYTE


def test_a_network_that_was_added_separates_songs_until_it_is_removed(stack: ComposeStack, songs: Songs) -> None:
    job = stack.until_ended(stack.submit(songs.short, engine="tiny"))
    assert job["state"] == "succeeded", job["error"]
    assert "tiny" in stack.compose("run", "--rm", "models", "remove", "tiny")


@pytest.mark.usefixtures("outage")
def test_an_upgrade_in_the_middle_of_a_job_costs_no_attempt(stack: ComposeStack, songs: Songs) -> None:
    job_id = stack.submit(songs.long, engine="repetition")
    stack.until_separating(job_id)
    before = {found["Image"] for service in ("api", "worker") for found in stack.inspect(service)}
    stack.up()
    job = stack.until_ended(job_id)
    assert (job["state"], job["attempt"], job["attempt_errors"]) == ("succeeded", 1, []), job["error"]
    assert not before & {found["Image"] for service in ("api", "worker") for found in stack.inspect(service)}
    mounts = [
        mount["Name"] for found in stack.inspect("worker") for mount in found["Mounts"] if mount["Type"] == "volume"
    ]
    assert all(name.startswith(PROJECT) for name in mounts), "an anonymous volume would stay when its worker is removed"


def test_down_and_up_keeps_jobs_and_stems(stack: ComposeStack, songs: Songs) -> None:
    with stack.client() as client:
        kept = {job["id"]: job["state"] for job in client.get("/v1/jobs?limit=100").json()["jobs"]}
    assert set(kept.values()) == {"succeeded"}
    last = stack.submit(songs.long, engine="repetition")
    stack.until_separating(last)
    stack.compose("down", "--timeout", "30")
    assert stack.containers("api") == []
    stack.up()
    with stack.client() as client:
        assert {i: client.get(f"/v1/jobs/{i}").json()["state"] for i in kept} == kept
        for stem in client.get(f"/v1/jobs/{next(iter(kept))}").json()["stems"]:
            assert client.get(stem["url"]).is_success
    job = stack.until_ended(last)
    assert (job["state"], job["attempt"]) == ("succeeded", 1), job["error"]
