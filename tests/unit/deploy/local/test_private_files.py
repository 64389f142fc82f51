"""Secrets are created once, and only their owner can read them."""

from __future__ import annotations

import stat
from pathlib import Path

from deploy.local.private_files import load_or_make_credentials, make_private_folder, write_private_file


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_credentials_are_made_once_and_differ_between_clones(tmp_path: Path) -> None:
    first = load_or_make_credentials(tmp_path / "credentials.json")
    assert load_or_make_credentials(tmp_path / "credentials.json") == first
    assert load_or_make_credentials(tmp_path / "other.json").redis_password != first.redis_password
    assert _mode(tmp_path / "credentials.json") == 0o600


def test_a_file_that_others_could_read_is_closed_when_it_is_written_again(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("old", encoding="utf-8")
    file.chmod(0o644)
    write_private_file(file, "new")
    assert (file.read_text(encoding="utf-8"), _mode(file)) == ("new", 0o600)


def test_a_folder_that_others_could_enter_is_closed(tmp_path: Path) -> None:
    (tmp_path / "var").mkdir(mode=0o755)
    assert _mode(make_private_folder(tmp_path / "var")) == 0o700
