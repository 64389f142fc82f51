"""What api/README.md shows is run, and its table of errors is held against the code."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from api.contract import errors as http_errors
from api.contract.problem_details import FRAMEWORK_CODES, status_of
from shared import errors
from tests.fixtures.api import StandIn, working

README = (Path(__file__).parents[4] / "api" / "README.md").read_text()


def test_the_curl_examples_run(api_url: str, stand_in: StandIn, tmp_path: Path) -> None:
    (tmp_path / "song.mp3").write_bytes(b"a\0song")
    script = "\n".join(re.findall(r"```sh\n(.*?)```", README, re.DOTALL))
    with working(stand_in, stem=b"0123456789" * 20):
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script.replace("http://127.0.0.1:8000", api_url)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "song - vocals.flac").read_bytes() == b"0123456789" * 20
    assert (tmp_path / "start.flac").stat().st_size == 100
    assert "job_state_conflict" in done.stdout


@pytest.mark.usefixtures("stand_in")
def test_the_python_example_runs(api_url: str, stand_in: StandIn, tmp_path: Path) -> None:
    (tmp_path / "song.mp3").write_bytes(b"a\0song")
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    paths = {'Path("song.mp3")': f"Path({str(tmp_path / 'song.mp3')!r})", 'Path("stems")': f"Path({str(tmp_path)!r})"}
    for written, meant in {"http://127.0.0.1:8000": api_url, **paths}.items():
        example = example.replace(written, meant)
    with working(stand_in):
        exec(example, {})  # noqa: S102 - our own README
    assert (tmp_path / "vocals.flac").exists()


def test_the_table_of_errors_has_each_code_at_its_status() -> None:
    table = {
        (int(status), code)
        for status, codes in re.findall(r"^\| (\d{3}) \| (.*) \|$", README, re.MULTILINE)
        for code in re.findall(r"`(\w+)`", codes)
    }
    own = [e for e in vars(http_errors).values() if isinstance(e, type) and e.__module__ == http_errors.__name__]
    shared = [
        errors.StemqueueError,
        errors.AudioEmptyError,
        errors.RequestInvalidError,
        errors.SourceMissingError,
        errors.StorageUnavailableError,
        errors.StoreUnavailableError,
        errors.JobNotFoundError,
        errors.IllegalTransitionError,
        errors.QueueFullError,
        errors.QueueDrainingError,
    ]
    raised = {(status_of(kind.__new__(kind)), kind.code) for kind in [*own, *shared]}
    assert raised | set(FRAMEWORK_CODES.items()) <= table
