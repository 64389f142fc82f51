from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest

from shared.errors import ScratchFullError
from worker.pipeline.stem_buffer import StemBuffer
from worker.run_support.workspace import open_workspace


def test_the_folder_is_removed_whatever_happened(tmp_path: Path) -> None:
    folder = tmp_path / "scratch"
    with pytest.raises(KeyboardInterrupt):  # noqa: SIM117, PT012 - what is raised within is the point
        with open_workspace(folder, max_bytes=100) as workspace:
            workspace.path("a").write_bytes(b"x" * 60)
            assert workspace.free_bytes() == 40
            raise KeyboardInterrupt
    assert not folder.exists()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_a_transient_error(tmp_path: Path, number: int) -> None:
    with pytest.raises(ScratchFullError) as caught, open_workspace(tmp_path / "s", max_bytes=100):
        raise OSError(number, "full", "folder/song.wav")
    assert caught.value.retryable
    assert caught.value.message == "The worker's scratch disk is full. song.wav cannot be written."


def test_other_disk_errors_are_passed_on(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), open_workspace(tmp_path / "s", max_bytes=100):
        raise PermissionError(errno.EACCES, "no")


def test_a_stem_buffer_returns_the_same_blocks(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    blocks = [random.random((2, 2, n), dtype=np.float32) for n in (5, 0, 70_000, 1)]
    with StemBuffer(tmp_path / "spool") as spool:
        for block in blocks:
            spool.append_block(block)
        for _ in range(2):
            for given, kept in zip(blocks, spool.read_blocks(), strict=True):
                assert kept.shape == given.shape
                for stem in range(2):
                    np.testing.assert_array_equal(given[stem], kept[stem])
    assert not (tmp_path / "spool").exists()
