"""Ways into Redis, for our records and for Celery alike: ACL users, TLS, Sentinel and its failover.

The servers are real. The Valkey of the tests is built without TLS, so that a proxy ends it before it, as managed
services and stunnel do; what is tested is our side of the handshake.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
import redis
import trustme

from deploy.local.processes import ServiceStartError
from tests.fault.support.deployment import Deployment, wait_until
from tests.fault.support.invariants import check
from tests.fault.support.proxy import Proxy
from tests.fixtures.deployment.compose import ROOT
from tests.fixtures.network.sentinels import MASTER, Sentinels, make_sentinels
from tests.fixtures.network.sentinels import PASSWORD as SENTINELS_PASSWORD
from tests.fixtures.servers import ValkeyServer

SLOW = {"engine": "slow", "parameters": '{"seconds": 1}'}

PASSWORD = "p@ss:/;%#word"

LOGIN = f"stemqueue:{quote(PASSWORD, safe='')}"


def add_user(*servers: ValkeyServer) -> None:
    """Make the user of docker-compose.yml, with a password that a URL must escape."""
    line = re.search(r"^user stemqueue reset on \S+ (.*)$", (ROOT / "deploy/redis/start.sh").read_text(), re.MULTILINE)
    assert line
    for server in servers:
        with redis.Redis.from_url(server.url) as client:
            client.execute_command("ACL", "SETUSER", "stemqueue", "reset", "on", f">{PASSWORD}", *line[1].split())


def does_a_job(deployment: Deployment, song: Path) -> None:
    deployment.until(deployment.submit(song, **SLOW), "succeeded")
    told = [line for line in deployment.lines if PASSWORD in line or quote(PASSWORD, safe="") in line]
    assert told == [], "the password stays out of the logs"


def redis_port(deployment: Deployment) -> int:
    return int(deployment.valkey.url.rsplit(":", 1)[1].split("/")[0])


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls_to(authority: trustme.CA) -> Iterator[Callable[[int], Proxy]]:
    """A function that puts TLS before a port; it asks for a client's certificate of the same authority."""
    proxies: list[Proxy] = []

    def put(port: int) -> Proxy:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        authority.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
        proxies.append(Proxy(port, tls=context))
        return proxies[-1]

    yield put
    for proxy in proxies:
        proxy.close()


@pytest.fixture
def files(authority: trustme.CA, tmp_path: Path) -> dict[str, str]:
    """The authority's certificate, and one of our own with its key, as files."""
    own = authority.issue_cert("worker.example")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    own.cert_chain_pems[0].write_to_path(tmp_path / "own.pem")
    own.private_key_pem.write_to_path(tmp_path / "own.key")
    return {name: str(tmp_path / name) for name in ("ca.pem", "own.pem", "own.key")}


def test_a_user_with_few_rights_and_an_awkward_password_works_over_tls(
    deploy: Callable[..., Deployment], song: Path, tls_to: Callable[[int], Proxy], files: dict[str, str]
) -> None:
    def prepare(deployment: Deployment) -> dict[str, str]:
        add_user(deployment.valkey)
        query = f"ssl_certfile={files['own.pem']}&ssl_keyfile={files['own.key']}"
        url = f"rediss://{LOGIN}@127.0.0.1:{tls_to(redis_port(deployment)).port}/0?{query}"
        return {"REDIS_URL": url, "REDIS_CA_FILE": files["ca.pem"]}

    deployment = deploy(prepare=prepare)
    does_a_job(deployment, song)
    with redis.Redis.from_url(deployment.valkey.url, decode_responses=True) as client:
        used_by_it = {c["cmd"] for c in client.client_list() if c["user"] == "stemqueue"}
        assert {"brpop", "evalsha"} <= used_by_it, "Celery, and our records"
    check(deployment)


def test_a_certificate_that_nobody_vouches_for_is_not_talked_to(
    deploy: Callable[..., Deployment], tls_to: Callable[[int], Proxy], files: dict[str, str]
) -> None:
    def prepare(deployment: Deployment) -> dict[str, str]:
        query = f"ssl_certfile={files['own.pem']}&ssl_keyfile={files['own.key']}"
        at = deployment.valkey.url.removeprefix("redis://").replace(
            f":{redis_port(deployment)}/", f":{tls_to(redis_port(deployment)).port}/"
        )
        return {"REDIS_URL": f"rediss://{at}?{query}"}

    deployment = deploy(workers=0, prepare=prepare)
    assert "redis" in deployment.client.get("/readyz").json()["faults"]
    assert deployment.client.get("/readyz").status_code == 503
    deployment.start_worker(wait=False)
    wait_until(
        lambda: any("CERTIFICATE_VERIFY_FAILED" in line for line in deployment.lines), 120, "Celery to refuse it too"
    )
    assert deployment.registry.live_workers() == []


def test_a_master_that_dies_with_one_of_its_sentinels_is_followed_by_its_replica(
    deploy: Callable[..., Deployment], song: Path, tmp_path: Path
) -> None:
    made: list[Sentinels] = []

    def prepare(deployment: Deployment) -> dict[str, str]:
        made.append(make_sentinels(deployment.valkey, tmp_path))
        add_user(deployment.valkey, made[0].replica)
        # The first of them is no Sentinel: any that lives will do.
        hosts = [f"{LOGIN}@127.0.0.1:1", *(f"127.0.0.1:{port}" for port in made[0].ports)]
        return {
            "REDIS_URL": ";".join(f"sentinel://{host}" for host in hosts) + "/0",
            "REDIS_SENTINEL_MASTER": MASTER,
            "REDIS_SENTINEL_PASSWORD": SENTINELS_PASSWORD,
        }

    try:
        deployment = deploy(prepare=prepare)
        does_a_job(deployment, song)
        wait_until(made[0].are_ready, 120, "the Sentinels to know each other, and a replica to promote")
        waiting = deployment.submit(song, engine="slow", parameters='{"seconds": 12}')
        deployment.until_separating(waiting)
        old = made[0].master_port()
        deployment.valkey.kill()
        made[0].servers[made[0].ports[0]].kill()
        wait_until(lambda: made[0].master_port() != old, 120, "the other two to agree")
        # Meanwhile 503, as from a Redis that is away.
        wait_until(lambda: deployment.client.get(f"/v1/jobs/{waiting}").status_code == 200, 120, "the new master")
        deployment.until(waiting, "succeeded")
        assert deployment.job(waiting)["attempt"] == 1, "the worker went on with it meanwhile"
        does_a_job(deployment, song)
    finally:
        for sentinels in made:
            sentinels.close()


def test_a_wrong_url_ends_the_worker_with_a_sentence(deploy: Callable[..., Deployment]) -> None:
    deployment = deploy(workers=0)
    with pytest.raises(ServiceStartError):
        deployment.start_worker(REDIS_URL=f"redis://{LOGIN}@one:1;redis://two:2")
    assert any("only Sentinels may have several URLs" in line for line in deployment.lines)
    assert not any(quote(PASSWORD, safe="") in line for line in deployment.lines)
