"""The table of known models is complete and consistent, and a wrong one is refused."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from worker.engines.mdx.family import check_parameters
from worker.model_setup.catalog.add import BUILDERS
from worker.model_setup.catalog.known_models import TABLE, KnownModel, check_name, find_model, known_models
from worker.model_setup.errors import ModelSetupError

DOCUMENT = Path(__file__).parents[5] / "docs" / "models.md"


@pytest.mark.parametrize("model", known_models().values(), ids=lambda model: model.name)
def test_a_model_tells_all_that_a_user_wants_to_know(model: KnownModel) -> None:
    assert model.family in BUILDERS
    for words in (model.title, model.author, model.summary, model.licence):
        assert words.strip()
    assert model.licence_source.startswith("https://")
    assert bool(model.scores) == bool(model.scores_from)
    assert "vocals" in model.stems
    if model.family == "mdx":
        check_parameters(dict(model.parameters))


@pytest.mark.parametrize("model", known_models().values(), ids=lambda model: model.name)
def test_files_have_digests_and_several_secure_addresses(model: KnownModel) -> None:
    addresses = [address for edition in model.editions for file in edition.files for address in file.addresses]
    assert len(set(addresses)) >= 2
    for edition in model.editions:
        for file in edition.files:
            assert re.fullmatch(r"[0-9a-f]{64}", file.sha256 or "0" * 64)
            assert re.fullmatch(r"[0-9a-f]{32}", file.tail_md5 or "0" * 32)
            assert 1e6 < file.size_bytes < 1e9
            if file.name.endswith(".th"):
                # The second part of the name is the head of the digest.
                assert str(file.sha256).startswith(file.name.removesuffix(".th").partition("-")[2])
            for address in file.addresses:
                assert urlsplit(address).scheme == "https"
                assert urlsplit(address).path.endswith(file.name)


def test_no_two_models_share_a_file_or_digest() -> None:
    files = [file for model in known_models().values() for edition in model.editions for file in edition.files]
    assert len({file.name for file in files}) == len({file.sha256 or file.tail_md5 for file in files}) == len(files)


def test_the_document_has_every_model() -> None:
    text = DOCUMENT.read_text()
    assert [name for name in known_models() if f"`{name}`" not in text] == []


def test_a_wrong_table_is_refused(tmp_path: Path) -> None:
    right = TABLE.read_text()
    first = right.index('sha256 = "')
    wrong = {
        "syntax": right + "[[",
        "no digest": re.sub(r'(sha256|tail_md5) = "[^"]*"\n', "", right),
        "a path for a name": right.replace('name = "UVR_MDXNET_9482.onnx"', 'name = "../UVR_MDXNET_9482.onnx"'),
        "a taken name": right.replace('name = "htdemucs"', 'name = "unet"'),
        "an unknown field": right[:first] + "nonsense = 1\n" + right[first:],
    }
    for what, text in wrong.items():
        table = tmp_path / f"{what}.toml"
        table.write_text(text)
        with pytest.raises(ModelSetupError):
            known_models(table)


def test_names() -> None:
    assert check_name("my-model_2") == "my-model_2"
    for name in ("", "..", "a/b", "A", "-a", "a b", "numba", "unet", "x" * 64, "ä", "a\n"):
        with pytest.raises(ModelSetupError):
            check_name(name)
    with pytest.raises(ModelSetupError, match="htdemucs"):
        find_model("nothing", known_models())
