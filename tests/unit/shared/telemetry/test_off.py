"""While no setting names a server, nothing is imported, recorded or sent."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from shared.settings import Settings
from shared.telemetry import set_up, tracing

PROGRAMS = {
    "api": """
import api.server.gunicorn_conf, api.wsgi
assert api.wsgi.app.test_client().get("/healthz").status_code == 200
""",
    "worker": """
import worker.celery_app, worker.service.worker_service
worker.celery_app._log()
""",
    "child": """
import worker.child.__main__, worker.pipeline.run
worker.pipeline.run.warm_up()
""",
}

# As if the extra was not installed. redis-py imports OpenTelemetry by itself where it finds it.
REFUSE = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("opentelemetry", "sentry_sdk"):
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Refuse())
"""

LOADED = """
import sys
print([name for name in sys.modules if name.startswith(("opentelemetry", "sentry_sdk", "shared.telemetry"))])
"""


def run(code: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", "-c", code],
        cwd=folder,
        env={"PATH": "/usr/bin", "REDIS_URL": "redis://127.0.0.1:1/0", "HOME": str(folder), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


@pytest.mark.parametrize("program", ["api", "worker"])
def test_a_program_runs_without_the_packages_of_the_extra(program: str, tmp_path: Path) -> None:
    done = run(REFUSE + PROGRAMS[program], tmp_path)
    assert done.returncode == 0, done.stderr


def test_a_child_imports_nothing_of_it_at_all(tmp_path: Path) -> None:
    done = run(PROGRAMS["child"] + LOADED, tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


def test_gunicorn_does_not_start_if_a_setting_needs_the_extra(tmp_path: Path) -> None:
    done = run(REFUSE + "import api.server.gunicorn_conf", tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")
    assert done.returncode != 0
    needs = "OTEL_EXPORTER_OTLP_ENDPOINT needs the extra 'telemetry': pip install 'stemqueue[telemetry]'"
    assert done.stderr == f"api: {needs}\n"


def test_a_program_that_lacks_sentry_s_package_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(set_up, "find_spec", lambda _: None)
    with pytest.raises(SystemExit, match="worker: SENTRY_DSN needs the extra 'telemetry'"):
        set_up.require_packages(Settings(sentry_dsn="http://key@127.0.0.1:9/1"), "worker")


def test_a_collector_is_needed_and_the_standard_variables_turn_traces_off() -> None:
    def sends(**values: object) -> bool:
        return Settings.model_validate(values).sends_traces

    address = {"otel_exporter_otlp_endpoint": "http://127.0.0.1:4318"}
    assert not sends()
    assert sends(**address)
    assert sends(otel_exporter_otlp_traces_endpoint="http://127.0.0.1:4318/v1/traces")
    assert not sends(**address, otel_traces_exporter="none")
    assert not sends(**address, otel_sdk_disabled=True)


def test_nothing_is_started_by_default() -> None:
    assert set_up.start(Settings(), "api") == []
    assert not tracing.is_on()
    with tracing.span("anything", {"a": 1}, kind="server", parent={}, links=[{}]) as span:
        span.set({"b": 2})
        span.fail("code")
        tracing.record_span("stage", 1.0, 2.0)
        assert tracing.headers() == {}
    set_up.stop()


GOOD = f"00-{'a' * 32}-{'b' * 16}-01"


@pytest.mark.parametrize(
    ("received", "passed_on"),
    [
        ({"traceparent": GOOD}, {"traceparent": GOOD}),
        ({"traceparent": GOOD, "tracestate": "a=b,c=d"}, {"traceparent": GOOD, "tracestate": "a=b,c=d"}),
        ({"traceparent": GOOD, "tracestate": "a" * 513}, {"traceparent": GOOD}),
        ({"traceparent": GOOD, "tracestate": "a\r\nX-Evil: 1"}, {"traceparent": GOOD}),
        ({"traceparent": GOOD + "\n"}, {}),
        ({"traceparent": "nonsense", "tracestate": "a=b"}, {}),
        ({"tracestate": "a=b"}, {}),
        ({"traceparent": GOOD, "authorization": "secret"}, {"traceparent": GOOD}),
    ],
)
def test_a_client_s_trace_is_passed_on_even_then(received: dict[str, str], passed_on: dict[str, str]) -> None:
    assert tracing.headers(received) == passed_on
