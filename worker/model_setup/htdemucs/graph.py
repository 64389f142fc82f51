"""HT-Demucs as an ONNX graph, for segments of one length.

The STFT stays outside: on a processor, transforms are faster than the same sums as products of matrices. What goes in
and comes out is normalised by the caller, who can sum in float64.

Inputs: `spectrum`, float32 (frames, bins, 4), the channels being the real and imaginary part of left and right; and
`waveform`, float32 (samples, 2). Outputs, of the same form, with the channels of each stem after those of the stem
before: `spectra` (frames, bins, 4 x stems) and `waveforms` (samples, 2 x stems).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx

from worker.model_setup.htdemucs.arguments import AUDIO_CHANNELS, BINS, HTDemucsArguments
from worker.model_setup.htdemucs.graph_builder import FOR_ONNXRUNTIME, GraphBuilder, GraphStyle, Weights
from worker.model_setup.htdemucs.layers import Tensor, add, gated, gated_in_context, gelu, narrowing, widening
from worker.model_setup.htdemucs.residual_branch import residual_branch
from worker.model_setup.htdemucs.transformer import transformer

GRAPH = "1"
"""Raise this with every change of the graph: models with an older one are then built again."""


def build_graph(
    arguments: HTDemucsArguments,
    weights: Weights,
    stems: Sequence[str] | None = None,
    style: GraphStyle = FOR_ONNXRUNTIME,
) -> onnx.ModelProto:
    """Return the graph of a network.

    Parameters
    ----------
    arguments
        What shapes the network.
    weights
        Its parameters, with the names and shapes of `expected_shapes`.
    stems
        The stems to compute, in this order; by default all. The others are left out of the last layers.
    style
        What suits the package that will run the graph.
    """
    stems = arguments.stems if stems is None else stems
    weights = _only_stems(arguments, weights, [arguments.stems.index(stem) for stem in stems])
    g = GraphBuilder(style)
    frames, samples = arguments.frames, arguments.segment_samples
    x = Tensor("spectrum", frames, BINS, 2 * AUDIO_CHANNELS)
    xt = Tensor("waveform", 1, samples, AUDIO_CHANNELS)
    xt = xt.named(g.reshaped(xt.name, 1, samples, AUDIO_CHANNELS))
    skips: list[Tensor] = []
    skips_t: list[Tensor] = []
    for index in range(arguments.depth):
        xt = _encoder(g, arguments, weights, f"tencoder.{index}", xt)
        x = _encoder(g, arguments, weights, f"encoder.{index}", x)
        if index == 0 and arguments.freq_emb:
            embedding = weights["freq_emb.embedding.weight"] * (arguments.emb_scale * arguments.freq_emb)
            x = add(g, x, g.constant(embedding))
        skips.append(x)
        skips_t.append(xt)
    x, xt = transformer(g, arguments, weights, x, xt)
    for index in range(arguments.depth):
        level = arguments.depth - 1 - index
        x = add(g, x, skips.pop().name)
        x = _decoder(g, arguments, weights, f"decoder.{index}", x, rows=arguments.layer_bins[level])
        xt = add(g, xt, skips_t.pop().name)
        xt = _decoder(g, arguments, weights, f"tdecoder.{index}", xt, rows=arguments.layer_samples[level])
    g.output(x.name, "spectra")
    g.output(g.reshaped(xt.name, samples, xt.channels), "waveforms")
    inputs = {"spectrum": (frames, BINS, 2 * AUDIO_CHANNELS), "waveform": (samples, AUDIO_CHANNELS)}
    outputs = {"spectra": (frames, BINS, x.channels), "waveforms": (samples, xt.channels)}
    return g.model(inputs, outputs)


def _encoder(g: GraphBuilder, arguments: HTDemucsArguments, weights: Weights, name: str, x: Tensor) -> Tensor:
    x = gelu(g, narrowing(g, x, weights, f"{name}.conv"))
    if arguments.dconv_mode & 1:
        x = residual_branch(g, x, weights, f"{name}.dconv", arguments.dconv_depth)
    return gated(g, x, weights, f"{name}.rewrite")


def _decoder(
    g: GraphBuilder, arguments: HTDemucsArguments, weights: Weights, name: str, x: Tensor, *, rows: int
) -> Tensor:
    x = gated_in_context(g, x, weights, f"{name}.rewrite")
    if arguments.dconv_mode & 2:
        x = residual_branch(g, x, weights, f"{name}.dconv", arguments.dconv_depth)
    x = widening(g, x, weights, f"{name}.conv_tr", rows)
    is_last = name.endswith(f".{arguments.depth - 1}")
    return x if is_last else gelu(g, x)


def _only_stems(arguments: HTDemucsArguments, weights: Weights, numbers: Sequence[int]) -> Weights:
    """Return the weights without the output channels of other stems."""
    last = arguments.depth - 1
    kept = dict(weights)
    for branch, channels in (("decoder", 2 * AUDIO_CHANNELS), ("tdecoder", AUDIO_CHANNELS)):
        wanted = np.concatenate([np.arange(channels) + number * channels for number in numbers])
        kept[f"{branch}.{last}.conv_tr.weight"] = weights[f"{branch}.{last}.conv_tr.weight"][:, wanted]
        kept[f"{branch}.{last}.conv_tr.bias"] = weights[f"{branch}.{last}.conv_tr.bias"][wanted]
    return kept
