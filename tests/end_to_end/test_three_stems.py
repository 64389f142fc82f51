"""Three stems through every part: a worker with a network of three, the API, the storage, the client's command.

No part may know how many stems there are, or what they are called.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.fault.support.deployment import Deployment
from tests.fixtures.stand_ins.three_stems import STEMS, make_three_stem_model

RATE_HZ = 44_100
TONES_HZ = (2_000.0, 8_000.0, 14_000.0)
"""One in the third of the bins that each stem takes."""


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    folder = tmp_path_factory.mktemp("three stems")
    make_three_stem_model(folder / "models" / "thirds")
    deployment = Deployment(folder, MODEL_FOLDER=str(folder / "models"))
    try:
        deployment.start_api()
        deployment.start_worker()
        yield deployment
    finally:
        deployment.close()


@pytest.fixture(scope="module")
def chord(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of the three tones at once."""
    t = np.arange(2 * RATE_HZ) / RATE_HZ
    y = sum(0.2 * np.sin(2 * np.pi * hz * t) for hz in TONES_HZ)
    path = tmp_path_factory.mktemp("songs") / "chord.wav"
    soundfile.write(path, np.stack([y, y], axis=1), RATE_HZ, subtype="PCM_16")
    return path


def strongest_hz(path: Path | io.BytesIO) -> float:
    """Return the frequency of the strongest tone in the middle of a file."""
    y, rate = soundfile.read(path, always_2d=True)
    middle = y[len(y) // 4 : 3 * len(y) // 4, 0]
    return float(np.abs(np.fft.rfft(middle)).argmax() * rate / len(middle))


def client(deployment: Deployment, *arguments: str) -> str:
    command = [sys.executable, "-m", "api.client", "--url", f"http://127.0.0.1:{deployment.api_port}", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout


def test_the_client_writes_three_stems_each_with_its_tone(deployment, chord, tmp_path):
    client(deployment, "run", str(chord), "--engine", "thirds", "--out", str(tmp_path))
    for stem, hz in zip(STEMS, TONES_HZ, strict=True):
        assert strongest_hz(tmp_path / f"{stem}.flac") == pytest.approx(hz, abs=5)
    report = json.loads((tmp_path / "report.json").read_text())
    assert list(report["stems"]) == list(STEMS)
    assert (tmp_path / "spectrogram.png").stat().st_size > 0


def test_the_api_tells_links_and_packs_all_three(deployment, chord):
    engines = {engine["name"]: engine for engine in deployment.client.get("/v1/engines").json()["engines"]}
    assert engines["thirds"]["stems"] == list(STEMS)
    job = deployment.until(deployment.submit(chord, engine="thirds", format="wav"), "succeeded", "failed")
    assert [stem["name"] for stem in job["stems"]] == list(STEMS)
    for stem, hz in zip(job["stems"], TONES_HZ, strict=True):
        answer = deployment.client.get(stem["url"], follow_redirects=True)
        assert strongest_hz(io.BytesIO(answer.content)) == pytest.approx(hz, abs=5)
    answer = deployment.client.get(f"/v1/jobs/{job['id']}/archive")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        assert {f"{stem}.wav" for stem in STEMS} <= set(archive.namelist())


def test_two_of_three_can_be_asked_for(deployment, chord):
    job_id = deployment.submit(chord, engine="thirds", stems="low,high")
    job = deployment.until(job_id, "succeeded", "failed")
    assert [stem["name"] for stem in job["stems"]] == ["low", "high"]
    # What is in the stem that nobody asked for is no residual.
    report = deployment.client.get(f"/v1/jobs/{job_id}/report", follow_redirects=True).json()
    assert report["residual_db"] is None or report["residual_db"] < -60


def test_mixes_of_a_job_and_of_its_stems_afterwards(deployment, chord, tmp_path):
    low, mid, high = STEMS
    mixes = f"only:{low},high-end=only:{high},song={low}:0"
    job_id = deployment.submit(chord, engine="thirds", format="wav", mixes=mixes)
    job = deployment.until(job_id, "succeeded", "failed")
    heard = {mix["name"]: deployment.client.get(mix["url"], follow_redirects=True).content for mix in job["mixes"]}
    assert strongest_hz(io.BytesIO(heard[f"only-{low}"])) == pytest.approx(TONES_HZ[0], abs=5)
    assert strongest_hz(io.BytesIO(heard["high-end"])) == pytest.approx(TONES_HZ[2], abs=5)
    song, (original, _) = soundfile.read(io.BytesIO(heard["song"]))[0], soundfile.read(chord)
    assert np.abs(song - original).max() < 2**-14, "with every stem at 0 dB the mix is the song"
    again = client(deployment, "mix", job_id, "--mix", f"mids=only:{mid}", "--mix", f"song={low}:0", "--format", "flac")
    client(deployment, "wait", again.strip())
    client(deployment, "download", again.strip(), "--out", str(tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == {"mids.flac", "song.flac", "report.json"}
    assert strongest_hz(tmp_path / "mids.flac") == pytest.approx(TONES_HZ[1], abs=5)
    assert np.abs(soundfile.read(tmp_path / "song.flac")[0] - original).max() < 2**-12
    report = json.loads((tmp_path / "report.json").read_text())
    assert set(report["mixed_stems"]) == set(STEMS)


def test_a_stem_is_separated_again_without_a_download(deployment, chord, tmp_path):
    low, mid, high = STEMS
    first = deployment.until(deployment.submit(chord, engine="thirds"), "succeeded", "failed")
    client(deployment, "run", "--from-job", f"{first['id']}/{mid}", "--engine", "thirds", "--out", str(tmp_path))
    assert strongest_hz(tmp_path / f"{mid}.flac") == pytest.approx(TONES_HZ[1], abs=5)
    # Where the tones begin and end, every stem has some of the click.
    middle = slice(RATE_HZ // 2, RATE_HZ * 3 // 2)
    loudest = {stem: np.abs(soundfile.read(tmp_path / f"{stem}.flac")[0][middle]).max() for stem in STEMS}
    assert loudest[mid] > 0.1
    assert max(loudest[low], loudest[high]) < 0.01, "the other tones are not in it"
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["source"]["job_id"], report["source"]["output"]) == (first["id"], mid)
    assert report["source"]["filename"] == f"chord - {mid}.flac"
    made = deployment.client.get("/v1/jobs").json()["jobs"][0]
    assert (made["source"]["job_id"], made["source"]["output"]) == (first["id"], mid)
    assert deployment.client.delete(f"/v1/jobs/{first['id']}").status_code == 204
    assert deployment.client.get(made["stems"][0]["url"], follow_redirects=True).status_code == 200
