"""`stemqueue-models add`, `check`, `list` and `remove`, with a real web server and a real network."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from tests.fixtures.network.model_server import CUT_AFTER
from tests.fixtures.stand_ins.tiny_mdx import PARAMETERS, tiny_network
from tests.integration.worker.model_setup.catalog.conftest import FILE, lines_of_failure
from worker.engines.registry import engines_here, make_engine
from worker.model_setup.catalog.add import version_of
from worker.model_setup.catalog.excerpt import make_excerpt


def test_a_model_is_downloaded_built_listed_checked_and_removed(run, server, folder, write_table, network):
    table = write_table(f"{server.url}/good/{FILE}")
    assert json.loads(run(table, "list", "--json").stdout)["models"][0]["state"] == "absent"
    added = run(table, "add", "tiny", "--accept-licence")
    assert added.exit_code == 0, added.output
    assert "Free, says its author." in added.stderr
    assert added.stdout.startswith("tiny is ready in")
    engine = engines_here(model_folder=folder)["tiny"].description
    assert (engine.stems, engine.scores_from, engine.author) == (("vocals", "accompaniment"), "no songs", "Nobody")
    assert engine.presets[0].scores == {"vocals_sdr_db": 1.5}
    assert engine.licence == "Free, says its author."
    assert engine.licence_source == "https://example.org/licence"
    manifest = json.loads((folder / "tiny" / "manifest.json").read_text())
    assert hashlib.sha256(network).hexdigest() in manifest["origin"][FILE]
    line = json.loads(run(table, "list", "--json").stdout)["models"][0]
    assert line["state"] == "ready"
    assert line["run_with_published_weights"] is False
    told = run(table, "list").stdout
    assert "tiny" in told
    assert "Free, says its author." in told
    assert "not run here with the publisher's weights" in told
    checked = run(table, "check", "tiny")
    assert checked.exit_code == 0, checked.output
    assert run(table, "remove", "tiny").exit_code == 0
    assert list(folder.iterdir()) == []
    assert run(table, "remove", "tiny").exit_code == 1


def test_what_was_added_separates_into_stems_that_sum_to_the_song(run, server, folder, write_table):
    run(write_table(f"{server.url}/good/{FILE}"), "add", "tiny", "--accept-licence")
    excerpt = make_excerpt()
    engine = make_engine(engines_here(model_folder=folder), "tiny", None, {})
    stems = np.concatenate(list(engine.separate(excerpt, stop=20_000)), axis=2)
    np.testing.assert_allclose(stems.sum(0), excerpt.mixture[:, :20_000], atol=1e-6)


def test_random_weights_do_not_pass_the_check_of_sound(run, server, write_table):
    table = write_table(f"{server.url}/good/{FILE}")
    run(table, "add", "tiny", "--accept-licence")
    checked = run(table, "check", "tiny", "--sound")
    assert checked.exit_code == 1
    assert "weights are probably wrong" in checked.stderr


def test_a_broken_connection_is_continued_at_the_next_address(run, server, write_table):
    table = write_table(f"{server.url}/cut/{FILE}", f"{server.url}/good/{FILE}")
    added = run(table, "add", "tiny", "--accept-licence")
    assert added.exit_code == 0, added.output
    assert server.requests == [(f"/cut/{FILE}", None), (f"/good/{FILE}", f"bytes={CUT_AFTER}-")]


def test_a_broken_download_is_continued_by_the_next_command(run, server, folder, write_table):
    failed = run(write_table(f"{server.url}/cut/{FILE}"), "add", "tiny", "--accept-licence")
    assert failed.exit_code == 1
    assert "the next add continues it" in failed.stderr
    assert (folder / ".weights" / "tiny" / FILE).stat().st_size == CUT_AFTER
    assert run(write_table(f"{server.url}/good/{FILE}"), "add", "tiny", "--accept-licence").exit_code == 0
    assert server.requests[-1] == (f"/good/{FILE}", f"bytes={CUT_AFTER}-")


def test_a_server_without_ranges_begins_anew(run, server, folder, write_table, network):
    run(write_table(f"{server.url}/cut/{FILE}"), "add", "tiny", "--accept-licence")
    assert run(write_table(f"{server.url}/rangeless/{FILE}"), "add", "tiny", "--accept-licence").exit_code == 0
    assert (folder / ".weights" / "tiny" / FILE).read_bytes() == network


def test_wrong_first_bytes_are_fetched_again_from_the_same_address(run, server, folder, write_table):
    part = folder / ".weights" / "tiny" / FILE
    part.parent.mkdir(parents=True)
    part.write_bytes(b"other bytes")
    assert run(write_table(f"{server.url}/good/{FILE}"), "add", "tiny", "--accept-licence").exit_code == 0
    assert [asked for _, asked in server.requests] == ["bytes=11-", None]


def test_a_model_is_built_again_without_the_network(run, server, write_table):
    table = write_table(f"{server.url}/good/{FILE}")
    assert run(table, "add", "tiny", "--accept-licence").exit_code == 0
    assert run(table, "add", "tiny", "--accept-licence").exit_code == 0
    assert len(server.requests) == 1


def test_a_weak_digest_is_told_with_the_one_that_was_seen(run, server, write_table, network):
    added = run(write_table(f"{server.url}/good/{FILE}", weakly=True), "add", "tiny", "--accept-licence")
    assert added.exit_code == 0
    assert hashlib.sha256(network).hexdigest() in added.stderr


def test_without_a_terminal_the_licence_must_be_accepted_on_the_command_line(run, server, folder, write_table):
    refused = run(write_table(f"{server.url}/good/{FILE}"), "add", "tiny")
    assert refused.exit_code == 1
    assert "--accept-licence" in refused.stderr
    assert server.requests == []
    assert not folder.exists()
    free = write_table(f"{server.url}/good/{FILE}", must_accept=False)
    assert run(free, "add", "tiny").exit_code == 0


@pytest.mark.parametrize(("answer", "exit_code"), [("n", 1), ("", 1), ("y", 0)])
def test_at_a_terminal_the_licence_is_asked_for(server, folder, write_table, answer, exit_code):
    table = write_table(f"{server.url}/good/{FILE}")
    command = [sys.executable, "-m", "worker.model_setup.catalog", "--table", str(table), "add", "tiny"]
    ours, theirs = os.openpty()
    with subprocess.Popen(command, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        os.write(ours, f"{answer}\n".encode())
        _, said = process.communicate(timeout=120)
    os.close(ours)
    os.close(theirs)
    assert process.returncode == exit_code, said
    assert "Do you accept it?" in said
    assert (folder / "tiny").exists() == (exit_code == 0)


def test_files_by_hand(run, folder, write_table, tmp_path, network):
    table = write_table("https://127.0.0.1:9/nothing")
    file = tmp_path / "renamed.onnx"
    file.write_bytes(network)
    assert run(table, "add", "--file", file, "--accept-licence").exit_code == 0
    assert "tiny" in engines_here(model_folder=folder)
    file.write_bytes(tiny_network(seed=1).SerializeToString())
    other = run(table, "add", "tiny", "--file", file, "--accept-licence")
    assert other.exit_code == 1
    assert "not the published tiny.onnx" in other.stderr
    unknown = run(table, "add", "--file", file, "--accept-licence")
    assert unknown.exit_code == 1
    assert "--parameters" in unknown.stderr


def test_an_unknown_mdx_file_with_its_parameters(run, folder, write_table, tmp_path, network):
    table, file, parameters = write_table("https://127.0.0.1:9/nothing"), tmp_path / "mine.onnx", tmp_path / "p.json"
    file.write_bytes(network)
    parameters.write_text(json.dumps({**PARAMETERS, "stem": "instrumental"}))
    asked = ("add", "--file", file, "--family", "mdx", "--parameters", parameters, "--accept-licence", "--name")
    added = run(table, *asked, "my_model")
    assert added.exit_code == 0, added.output
    assert engines_here(model_folder=folder)["my_model"].description.licence.startswith("Not known")
    assert "my_model" in run(table, "list").stdout
    for name in ("../evil", "a/b", "unet", "numba", "tiny", "", ".hidden", "x" * 64):
        before = sorted(folder.rglob("*"))
        refused = run(table, *asked, name)
        assert refused.exit_code in {1, 2}, name
        assert sorted(folder.rglob("*")) == before
    parameters.write_text("[]")
    assert run(table, *asked, "another").exit_code == 1
    parameters.write_text(json.dumps({**PARAMETERS, "dim_f": 97}))
    assert run(table, *asked, "my_model").exit_code == 1
    assert run(table, "check", "my_model").exit_code == 0  # The one from before is still there.


def test_another_parameter_makes_another_version(run, folder, write_table, tmp_path, network):
    table, file, parameters = write_table("https://127.0.0.1:9/nothing"), tmp_path / "mine.onnx", tmp_path / "p.json"
    file.write_bytes(network)
    asked = ("add", "--file", file, "--family", "mdx", "--parameters", parameters, "--accept-licence", "--name", "mine")
    versions = []
    for changes in ({}, {}, {"compensate": 1.01}, {"overlap": 0.5}):
        # In another order, they are the same.
        values = {**PARAMETERS, **changes}
        parameters.write_text(json.dumps(dict(reversed(values.items())) if versions else values))
        assert run(table, *asked).exit_code == 0
        versions.append(engines_here(model_folder=folder)["mine"].description.version)
    assert versions[0] == versions[1]
    assert len(set(versions)) == 3
    assert all(re.fullmatch(r"1-[0-9a-f]{12}", version) for version in versions)


def test_each_file_counts_for_the_version():
    a, b, c = (f"{number:064x}" for number in range(3))
    assert len({version_of({}, digests) for digests in ([a], [a, b], [a, c], [c, a])}) == 4


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ("", "offer it within a minute, unless they have a WORKER_ENGINES without it."),
        ("unet, tiny", "offer it within a minute"),
        ("unet,other", "Add it to WORKER_ENGINES (now unet,other), so that workers offer it."),
    ],
)
def test_it_is_told_when_workers_offer_it(add, server, monkeypatch, chosen, words):
    monkeypatch.setenv("WORKER_ENGINES", chosen)
    assert words in add(f"{server.url}/good/{FILE}").stdout


def test_two_adds_at_once(run, server, write_table):
    table = write_table(f"{server.url}/slow/{FILE}")
    command = [sys.executable, "-m", "worker.model_setup.catalog", "--table", str(table), "add", "tiny"]
    with subprocess.Popen([*command, "--accept-licence"], stderr=subprocess.PIPE) as first:
        _wait_for(lambda: server.requests)
        second = run(table, "add", "tiny", "--accept-licence")
        first.send_signal(signal.SIGTERM)
        first.communicate()
    assert second.exit_code == 1
    assert "Another stemqueue-models is running" in second.stderr
    assert first.returncode == 128 + signal.SIGTERM


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_add_leaves_only_what_has_arrived(run, server, folder, write_table, number):
    table = write_table(f"{server.url}/slow/{FILE}")
    command = [sys.executable, "-m", "worker.model_setup.catalog", "--table", str(table), "add", "tiny"]
    part = folder / ".weights" / "tiny" / FILE
    with subprocess.Popen([*command, "--accept-licence"], stderr=subprocess.PIPE) as process:
        _wait_for(lambda: server.requests and part.exists())
        time.sleep(0.2)
        process.send_signal(number)
        process.communicate()
    assert process.returncode in {130, 128 + number, -number}
    assert [path for path in folder.rglob("*") if path.is_file()] in ([part], [])
    assert run(write_table(f"{server.url}/good/{FILE}"), "add", "tiny", "--accept-licence").exit_code == 0


def test_a_killed_build_is_cleared_away(run, server, folder, write_table):
    leftover = folder / ".building-abc" / "tiny"
    leftover.mkdir(parents=True)
    (leftover / "network.onnx").write_bytes(b"half")
    assert run(write_table(f"{server.url}/good/{FILE}"), "add", "tiny", "--accept-licence").exit_code == 0
    assert not leftover.exists()


def test_only_models_can_be_removed(run, server, folder, write_table):
    table = write_table(f"{server.url}/good/{FILE}")
    run(table, "add", "tiny", "--accept-licence")
    before = sorted(folder.parent.rglob("*"))
    for name in ("..", ".", "../models", ".weights", "tiny/", "tiny/..", str(folder / "tiny")):
        refused = run(table, "remove", name)
        assert refused.exit_code == 1, name
        assert "There is no model" in refused.stderr
    assert sorted(folder.parent.rglob("*")) == before


def test_a_damaged_model_is_found(run, server, folder, write_table):
    table = write_table(f"{server.url}/good/{FILE}")
    run(table, "add", "tiny", "--accept-licence")
    (network_file,) = (folder / "tiny").glob("*.onnx")
    network_file.write_bytes(network_file.read_bytes()[:-1])
    checked = run(table, "check", "tiny")
    assert checked.exit_code == 1
    assert len(lines_of_failure(checked)) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("add",),
        ("add", "--family", "mdx"),
        ("add", "tiny", "--file", "/nothing"),
        ("add", "tiny", "--nonsense"),
        ("nothing",),
    ],
)
def test_a_wrong_command_line(run, folder, write_table, arguments):
    assert run(write_table("https://127.0.0.1:9/nothing"), *arguments).exit_code == 2
    assert not folder.exists()


@pytest.mark.parametrize("name", ["nothing", "../etc", "a/b", "Ä", ""])
def test_a_name_that_is_not_known(run, folder, write_table, name):
    table = write_table("https://127.0.0.1:9/nothing")
    for command in ("add", "check", "remove"):
        result = run(table, command, name)
        assert result.exit_code in {1, 2}
        assert "Traceback" not in result.output
        assert not folder.exists() or list(folder.iterdir()) == []


def _wait_for(condition, seconds: float = 240) -> None:
    give_up_at = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up_at
        time.sleep(0.02)
