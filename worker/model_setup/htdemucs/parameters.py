"""The parameters that a network with given arguments has: the only names and shapes that a file may hold."""

from __future__ import annotations

from collections.abc import Iterator

from worker.model_setup.htdemucs.arguments import AUDIO_CHANNELS, KERNEL, HTDemucsArguments

Shape = tuple[int, ...]


def expected_shapes(arguments: HTDemucsArguments) -> dict[str, Shape]:
    """Return the shape of each parameter by its name, as the reference's `state_dict` has them."""
    return dict(_all_parameters(arguments))


def _all_parameters(arguments: HTDemucsArguments) -> Iterator[tuple[str, Shape]]:
    n_stems, widths = len(arguments.stems), arguments.layer_channels
    for index, width in enumerate(widths):
        # Spectra have real and imaginary parts as channels.
        for branch, base, rank in (("encoder", 2 * AUDIO_CHANNELS, 2), ("tencoder", AUDIO_CHANNELS, 1)):
            before = widths[index - 1] if index else base
            yield from _encoder(f"{branch}.{index}", arguments, before, width, rank)
        for branch, base, rank in (("decoder", 2 * AUDIO_CHANNELS, 2), ("tdecoder", AUDIO_CHANNELS, 1)):
            after = widths[index - 1] if index else base * n_stems
            yield from _decoder(f"{branch}.{arguments.depth - 1 - index}", arguments, width, after, rank)
    if arguments.freq_emb:
        yield "freq_emb.embedding.weight", (arguments.layer_bins[1], widths[0])
    if arguments.bottom_channels:
        for suffix in ("", "_t"):
            yield from _convolution(f"channel_upsampler{suffix}", widths[-1], arguments.bottom_channels, (1,))
            yield from _convolution(f"channel_downsampler{suffix}", arguments.bottom_channels, widths[-1], (1,))
    yield from _transformer(arguments)


def _encoder(
    name: str, arguments: HTDemucsArguments, before: int, width: int, rank: int
) -> Iterator[tuple[str, Shape]]:
    yield from _convolution(f"{name}.conv", before, width, (KERNEL, 1)[:rank])
    yield from _convolution(f"{name}.rewrite", width, 2 * width, (1, 1)[:rank])
    if arguments.dconv_mode & 1:
        yield from _residual_branch(f"{name}.dconv", arguments, width)


def _decoder(name: str, arguments: HTDemucsArguments, width: int, after: int, rank: int) -> Iterator[tuple[str, Shape]]:
    kernel = (KERNEL, 1)[:rank]
    yield f"{name}.conv_tr.weight", (width, after, *kernel)
    yield f"{name}.conv_tr.bias", (after,)
    yield from _convolution(f"{name}.rewrite", width, 2 * width, (3, 3)[:rank])
    if arguments.dconv_mode & 2:
        yield from _residual_branch(f"{name}.dconv", arguments, width)


def _residual_branch(name: str, arguments: HTDemucsArguments, width: int) -> Iterator[tuple[str, Shape]]:
    hidden = width // arguments.dconv_comp
    for layer in range(arguments.dconv_depth):
        yield from _convolution(f"{name}.layers.{layer}.0", width, hidden, (3,))
        yield from _pair(f"{name}.layers.{layer}.1", hidden)
        yield from _convolution(f"{name}.layers.{layer}.3", hidden, 2 * width, (1,))
        yield from _pair(f"{name}.layers.{layer}.4", 2 * width)
        yield f"{name}.layers.{layer}.6.scale", (width,)


def _transformer(arguments: HTDemucsArguments) -> Iterator[tuple[str, Shape]]:
    width, hidden = arguments.transformer_channels, arguments.transformer_hidden
    for suffix in ("", "_t"):
        yield from _pair(f"crosstransformer.norm_in{suffix}", width)
        for index in range(arguments.t_layers):
            name = f"crosstransformer.layers{suffix}.{index}"
            is_cross = is_cross_layer(arguments, index)
            attention = f"{name}.{'cross_attn' if is_cross else 'self_attn'}"
            yield f"{attention}.in_proj_weight", (3 * width, width)
            yield f"{attention}.in_proj_bias", (3 * width,)
            yield f"{attention}.out_proj.weight", (width, width)
            yield f"{attention}.out_proj.bias", (width,)
            yield f"{name}.linear1.weight", (hidden, width)
            yield f"{name}.linear1.bias", (hidden,)
            yield f"{name}.linear2.weight", (width, hidden)
            yield f"{name}.linear2.bias", (width,)
            for norm in ("norm1", "norm2", *(["norm3"] if is_cross else []), "norm_out"):
                yield from _pair(f"{name}.{norm}", width)
            yield f"{name}.gamma_1.scale", (width,)
            yield f"{name}.gamma_2.scale", (width,)


def is_cross_layer(arguments: HTDemucsArguments, index: int) -> bool:
    """Return whether the branches look at each other in a layer of the transformer, instead of at themselves."""
    return (index % 2 == 0) == arguments.t_cross_first


def _convolution(name: str, before: int, after: int, kernel: Shape) -> Iterator[tuple[str, Shape]]:
    yield f"{name}.weight", (after, before, *kernel)
    yield f"{name}.bias", (after,)


def _pair(name: str, width: int) -> Iterator[tuple[str, Shape]]:
    yield f"{name}.weight", (width,)
    yield f"{name}.bias", (width,)
