"""Alerts, dashboard and provisioning say what they must, and name only metrics that exist.

tests/integration/api/monitoring/test_prometheus.py asks a real Prometheus every expression; `make lint` runs the
alerts' own tests.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml

from tests.fixtures.deployment.compose import ROOT, read_definition
from tests.fixtures.deployment.monitoring import DASHBOARD, alerts, metrics_named, panels

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
SECRETS = {"REDIS_PASSWORD": "r", "S3_ACCESS_KEY_ID": "a", "S3_SECRET_ACCESS_KEY": "s"}
PROVISIONING = ROOT / "deploy/grafana/provisioning"


def documented() -> set[str]:
    return set(re.findall(r"^\| `(\w+)` \|", (ROOT / "docs/metrics.md").read_text(), re.MULTILINE))


def test_the_dashboard_and_the_alerts_name_only_metrics_that_are_documented() -> None:
    # test_metrics.py holds the document against what the API answers.
    names = {re.sub(r"_(bucket|sum|count)$", "", name) for name in metrics_named()}
    assert len(names) > 20
    assert sorted(names - documented()) == []


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel["title"])
def test_a_panel_says_what_it_shows_and_asks_the_chosen_prometheus(panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert [panel["datasource"], *(target["datasource"] for target in panel["targets"])] == [DATASOURCE] * (
        1 + len(panel["targets"])
    )
    if panel["type"] == "timeseries":
        assert all(target["legendFormat"] for target in panel["targets"])


def test_the_datasource_is_a_variable_and_no_panel_hides_another() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    [variable] = dashboard["templating"]["list"]
    assert (variable["name"], variable["type"], variable["query"]) == ("datasource", "datasource", "prometheus")
    taken = set[tuple[int, int]]()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    assert [p["title"] for p in dashboard["panels"] if p["type"] == "row"] == [
        "Are songs coming out?",
        "How long does one wait?",
        "What fails?",
        "What is full?",
    ]


def test_the_dashboard_marks_critical_alerts_with_a_query_in_the_form_of_today() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    [marks] = dashboard["annotations"]["list"]
    # As in the schema of Grafana 13: `expr` of the annotation itself, and a variable's empty `current`, are not in it.
    assert "expr" not in marks
    assert marks["target"]["expr"].startswith("ALERTS{")
    assert "current" not in dashboard["templating"]["list"][0]


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: rule["alert"])
def test_an_alert_says_what_is_wrong_and_is_documented_and_tested(rule: dict[str, Any]) -> None:
    name = rule["alert"]
    assert re.fullmatch(r"Stemqueue[A-Z]\w+", name)
    assert re.fullmatch(r"\d+[mh]", rule["for"])
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    assert rule["annotations"]["runbook_url"] == f"docs/runbook.md#{name.lower()}"
    assert re.search(rf"^\| `{name}` \|", (ROOT / "deploy/prometheus/README.md").read_text(), re.MULTILINE)
    assert f"\n### {name}\n" in (ROOT / "docs/runbook.md").read_text(), "where runbook_url leads"


def test_each_alert_fires_in_its_tests_and_none_while_all_is_well() -> None:
    fires = set[str]()
    is_quiet = False
    for case in yaml.safe_load((ROOT / "deploy/prometheus/alerts_test.yml").read_text())["tests"]:
        fires |= {rule["alertname"] for rule in case.get("alert_rule_test", ()) if rule["exp_alerts"]}
        for query in case.get("promql_expr_test", ()):
            told = [query["expr"], *(sample["labels"] for sample in query["exp_samples"])]
            if query["exp_samples"] and 'alertstate="firing"' in query["expr"]:
                fires |= set(re.findall(r'alertname="(\w+)"', " ".join(told)))
            is_quiet |= query["expr"] == "count(ALERTS) or vector(0)" and query["exp_samples"][0]["value"] == 0
    assert fires == {rule["alert"] for rule in alerts()}
    assert is_quiet


def test_grafana_finds_its_dashboard_and_its_prometheus() -> None:
    services = read_definition(SECRETS)["services"]
    grafana, prometheus = services["grafana"], services["prometheus"]
    mounts = dict(volume.split(":")[:2] for volume in grafana["volumes"])
    assert mounts["./deploy/grafana/provisioning"] == "/etc/grafana/provisioning"
    [provider] = yaml.safe_load((PROVISIONING / "dashboards/stemqueue.yml").read_text())["providers"]
    assert provider["options"]["path"] == mounts["./deploy/grafana/dashboards"]
    [source] = yaml.safe_load((PROVISIONING / "datasources/prometheus.yml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"
    assert set(prometheus["networks"]) & set(grafana["networks"])


def test_grafana_asks_for_a_password_and_reports_nothing() -> None:
    environment = read_definition({**SECRETS, "GRAFANA_PASSWORD": "secret"})["services"]["grafana"]["environment"]
    assert environment["GF_SECURITY_ADMIN_PASSWORD"] == "secret"
    off = ("AUTH_ANONYMOUS_ENABLED", "USERS_ALLOW_SIGN_UP", "ANALYTICS_REPORTING_ENABLED", "NEWS_NEWS_FEED_ENABLED")
    assert {environment[f"GF_{name}"] for name in (*off, "ANALYTICS_CHECK_FOR_UPDATES")} == {"false"}


def test_prometheus_asks_what_the_compose_file_runs() -> None:
    services = read_definition(SECRETS)["services"]
    jobs = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())["scrape_configs"]
    targets = {job["job_name"]: job["static_configs"][0]["targets"] for job in jobs}
    assert targets == {"stemqueue": ["api:8000"], "storage": ["storage:9327"]}
    assert "api" in services["api"]["environment"]["API_ALLOWED_HOSTS"].split(",")
    assert "-metricsPort=9327" in (ROOT / "deploy/storage/start.sh").read_text()
