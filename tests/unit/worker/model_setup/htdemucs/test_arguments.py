"""Arguments of the published networks are accepted and give networks of their size; others are refused by name."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import pytest

from worker.model_setup.errors import CheckpointError
from worker.model_setup.htdemucs.arguments import read_arguments
from worker.model_setup.htdemucs.parameters import expected_shapes

PUBLISHED: dict[str, Any] = {
    "sources": ["drums", "bass", "other", "vocals"],
    "audio_channels": 2,
    "bottom_channels": 512,
    "cac": True,
    "channels": 48,
    "channels_time": None,
    "context": 1,
    "context_enc": 0,
    "dconv_comp": 8,
    "dconv_depth": 2,
    "dconv_init": 0.001,
    "dconv_mode": 3,
    "depth": 4,
    "emb_scale": 10,
    "emb_smooth": True,
    "end_iters": 0,
    "freq_emb": 0.2,
    "growth": 2,
    "kernel_size": 8,
    "multi_freqs": [],
    "multi_freqs_depth": 3,
    "nfft": 4096,
    "norm_groups": 4,
    "norm_starts": 4,
    "rescale": 0.1,
    "rewrite": True,
    "samplerate": 44_100,
    "segment": Fraction(39, 5),
    "stride": 4,
    "t_auto_sparsity": False,
    "t_cape_augment": True,
    "t_cape_glob_loc_scale": [5000.0, 1.0, 1.4],
    "t_cape_mean_normalize": True,
    "t_cross_first": False,
    "t_dropout": 0.02,
    "t_emb": "sin",
    "t_gelu": True,
    "t_global_window": 100,
    "t_group_norm": False,
    "t_heads": 8,
    "t_hidden_scale": 4.0,
    "t_layer_scale": True,
    "t_layers": 5,
    "t_lr": None,
    "t_mask_random_seed": 42,
    "t_mask_type": "diag",
    "t_max_period": 10_000.0,
    "t_max_positions": 10_000,
    "t_norm_first": True,
    "t_norm_in": True,
    "t_norm_in_group": False,
    "t_norm_out": True,
    "t_sin_random_shift": 0,
    "t_sparse_attn_window": 400,
    "t_sparse_cross_attn": False,
    "t_sparse_self_attn": False,
    "t_sparsity": 0.95,
    "t_weight_decay": 0.0,
    "t_weight_pos_embed": 1.0,
    "time_stride": 2,
    "wiener_iters": 0,
    "wiener_residual": False,
}
"""What projects that read `955717e8-8726e21a.th` say is in it."""


@pytest.mark.parametrize(
    ("changes", "n_parameters", "megabytes"),
    [
        ({}, 41_984_456, 84),
        ({"sources": ["drums", "bass", "other", "vocals", "guitar", "piano"], "bottom_channels": 0}, 27_414_996, 55),
    ],
)
def test_published_networks(changes: dict[str, Any], n_parameters: int, megabytes: int) -> None:
    arguments = read_arguments((), {**PUBLISHED, **changes})
    assert (arguments.segment_samples, arguments.frames) == (343_980, 336)
    total = sum(math.prod(shape) for shape in expected_shapes(arguments).values())
    assert total == n_parameters
    assert round(2 * total / 1e6) == megabytes


def test_sources_without_a_name_and_names_of_other_versions() -> None:
    kwargs = {"segment": 7.8, "an_argument_of_an_older_version": object()}
    assert read_arguments((["vocals", "rest"],), kwargs).stems == ("vocals", "rest")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sources", []),
        ("sources", ["a", "a"]),
        ("sources", "vocals"),
        ("segment", math.nan),
        ("segment", True),
        ("channels", 7),
        ("channels", 1 << 40),
        ("channels", 48.5),
        ("depth", 5),
        ("dconv_comp", 0),
        ("t_layers", 0),
        ("t_heads", math.inf),
        ("t_hidden_scale", "4"),
        ("cac", 1),
        ("cac", False),
        ("multi_freqs", [0.25]),
        ("t_emb", "scaled"),
        ("t_sin_random_shift", 5),
        ("nfft", 2048),
        ("norm_starts", 3),
        ("use_train_segment", False),
    ],
)
def test_what_the_graph_does_not_cover_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(CheckpointError, match=rf"argument {name} "):
        read_arguments((), {**PUBLISHED, name: value})


def test_widths_that_do_not_fit() -> None:
    with pytest.raises(CheckpointError, match="number of heads"):
        read_arguments((), {**PUBLISHED, "t_heads": 7})
    with pytest.raises(CheckpointError, match="would have no channels"):
        read_arguments((), {**PUBLISHED, "channels": 8, "dconv_comp": 16})
    with pytest.raises(CheckpointError, match="too many without a name"):
        read_arguments((["a"], 2), {})
