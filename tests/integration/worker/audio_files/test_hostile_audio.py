"""Every odd and hostile file goes through one real child, one after the other, with a stand-in engine."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import soundfile

from worker.child.process import ChildProcess
from worker.run_messages import Limits, Work

MAX_PROCESSOR_SECONDS = 30
"""What one file may take of the processor. A child yields to whatever else the machine does, so that a clock on the
wall would measure the other tests."""

PATIENCE_SECONDS = 600
MAX_AUDIO_SECONDS = 120
MAX_MEMORY_BYTES = 900_000_000

REFUSALS = {"audio_empty", "audio_unreadable", "audio_unsupported", "audio_too_long", "audio_too_short"}

# Expected to decode because its tags can be read, but it was cut before its first packet: its `mdat` holds 0 bytes,
# and its table of packets none, so that nobody can make a sound of it.
WITHOUT_SAMPLES = {"mutagen_nero-chapters.m4b"}


@pytest.fixture(scope="module")
def child(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChildProcess]:
    """One child for all files: what harms it harms the next job."""
    child = ChildProcess(
        threads=1,
        scratch_folder=tmp_path_factory.mktemp("scratch"),
        extra_engines=("tests.fixtures.stand_ins.engines",),
    )
    assert child.read_event(240) == {"event": "ready"}
    yield child
    child.end()


@pytest.fixture(scope="module")
def events() -> dict[str, Mapping[str, Any]]:
    """How each file ended that the first test has run."""
    return {}


def run(child: ChildProcess, path: Path, folder: Path) -> Mapping[str, Any]:
    """Have the child separate a copy of the file in a folder of its jobs."""
    folder.mkdir()
    source = Path(shutil.copyfile(path, folder / "source"))
    child.send_work(
        Work(
            input_path=str(source),
            output_folder=str(folder / "out"),
            scratch_folder=str(folder / "scratch"),
            source_filename=path.name,
            engine="share",
            # An hour of sound is honest work that takes longer than this test may: it is refused by the limit. All
            # others are shorter than half a minute.
            limits=Limits(max_audio_seconds=MAX_AUDIO_SECONDS),
            extra_engines=("tests.fixtures.stand_ins.engines",),
        )
    )
    while True:
        event = child.read_event(PATIENCE_SECONDS)
        assert event is not None, f"{path.name} took more than {PATIENCE_SECONDS} s"
        if event["event"] in {"done", "error"}:
            return event


def processor_seconds(child: ChildProcess) -> float:
    """Return what the child and the programs that it has waited for took of the processor."""
    return sum(psutil.Process(child.pid).cpu_times()[:4])


# Half a minute alone; the child is nice to others, so on a busy machine it takes longer.
@pytest.mark.timeout(1800)
def test_each_file_has_the_expected_result_and_none_affects_the_next(
    shared_audio: Path, child: ChildProcess, events: dict[str, Mapping[str, Any]]
) -> None:
    folder = shared_audio / "hostile"
    wrong = []
    for number, expectation in enumerate(json.loads((folder / "expectations.json").read_text())):
        name, expect = expectation["file"], expectation["expect"]
        before = processor_seconds(child)
        event = events[name] = run(child, folder / name, child.jobs_folder / str(number))
        assert processor_seconds(child) - before < MAX_PROCESSOR_SECONDS, name
        assert child.memory_bytes() < MAX_MEMORY_BYTES, name
        assert not (child.jobs_folder / str(number) / "scratch").exists(), name
        refused = event["event"] == "error"
        if refused:
            assert event["code"] in REFUSALS, (name, event)
            assert not event["retryable"], name
            assert "\n" not in event["message"], name
        else:
            assert_sound(child.jobs_folder / str(number) / "out", event["outcome"], name)
        free = "EITHER" in expect or " or " in expect
        if not free and refused != expect.startswith("REJECT") and name not in WITHOUT_SAMPLES:
            wrong.append((name, expect, event.get("code", "decoded")))
    assert wrong == []


def assert_sound(folder: Path, outcome: Mapping[str, Any], name: str) -> None:
    """Check that the stems are there, finite, and as long as the report says."""
    stems = [output for output in outcome["outputs"] if output["kind"] == "stem"]
    assert [stem["name"] for stem in stems] == ["vocals", "accompaniment"], name
    for stem in stems:
        samples, _ = soundfile.read(folder / stem["filename"], always_2d=True)
        assert len(samples) == stem["details"]["n_samples"], name
        assert np.isfinite(samples).all(), name


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("gen_empty.wav", "audio_empty"),
        ("gen_html.wav", "audio_unreadable"),
        ("gen_hls_local.mp3", "audio_unreadable"),
        ("gen_1hz.wav", "audio_unsupported"),
        ("gen_32ch.wav", "audio_unsupported"),
        ("gen_tone_opus_1h.opus", "audio_too_long"),
        ("gen_silence_24h.flac", "audio_too_long"),
        ("gen_silence_10h.ogg", "audio_too_long"),
        ("hound_crash-e5471f5b.wav", "audio_too_short"),
    ],
)
def test_the_code_says_what_is_wrong(
    shared_audio: Path, child: ChildProcess, events: dict[str, Mapping[str, Any]], name: str, code: str
) -> None:
    event = events.get(name) or run(child, shared_audio / "hostile" / name, child.jobs_folder / name)
    assert event["code"] == code
