"""The command `stemqueue-separate`: runs the worker's pipeline on one file, without any server.

Exit codes: 0 done, 1 the separation failed, 2 wrong usage, 130 stopped by Ctrl-C. OUT gets either all results or none.
The pipeline itself is in pipeline/run.py.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from shared.audio.formats import BIT_DEPTH_HELP, BITRATE_HELP, FORMATS
from shared.audio.mixes import MIX_HELP, Mix, read_mixes, read_stems
from shared.audio.music_line import music_line
from shared.errors import StemqueueError
from shared.parsing.file_names import readable_name
from shared.settings import Settings, read_settings, split_names
from worker.child.sandbox import Prepared
from worker.engines.errors import EngineError
from worker.engines.interface import EngineDescription
from worker.engines.registry import Registry, engines_here
from worker.pipeline.run import separate_song
from worker.run_messages import Limits, Outcome, Work, overall_progress
from worker.run_support.process_memory import use_one_heap

BEST_FIRST = ("unet", "repetition")
"""The default engine is the first of these that can run here."""


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("source", metavar="INPUT", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("out", metavar="OUT", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--engine", help="The engine; if not given, DEFAULT_ENGINE, or unet if it is set up, otherwise repetition."
)
@click.option("--preset", help="A preset of the engine; if not given, its default.")
@click.option("--parameter", "parameters", multiple=True, metavar="NAME=VALUE", help="An engine parameter; repeatable.")
@click.option("--stems", help="The stems to write, separated by commas; if not given, all. none: only the mixes.")
@click.option(
    "--mix", "mixes", multiple=True, metavar="[NAME=]MIX", help=f"A mix to make from the stems; repeatable. {MIX_HELP}"
)
@click.option("--format", "format_name", type=click.Choice(list(FORMATS)), default="flac", show_default=True)
@click.option("--bit-depth", type=int, help=f"Bits per sample. {BIT_DEPTH_HELP}.")
@click.option("--bitrate", "bitrate_kbps", type=int, help=f"Bitrate in kbit/s. {BITRATE_HELP}.")
@click.option("--excerpt", metavar="START+LENGTH", help="Separate only a part: 90+20 is 20 s, starting at 1:30.")
@click.option(
    "--audio-stream",
    type=click.IntRange(min=1),
    help="The audio stream, if the file has several; 1 is the first. If not given, the file's default stream.",
)
@click.option("--threads", type=click.IntRange(min=1), help="The number of threads; if not given, the number of cores.")
def main(source: Path, out: Path, **options: Any) -> None:
    """Separate the song INPUT into stems. Write the stems, a report and pictures into the folder OUT."""
    use_one_heap()
    settings = read_settings("stemqueue-separate")
    _use_prepared_caches(settings)
    registry = engines_here(model_folder=settings.model_folder, extra_modules=split_names(settings.extra_engines))
    console = Console(stderr=True)
    # SystemExit unwinds the stack, so that folders are removed. ffmpeg ends with this process in any case.
    signal.signal(signal.SIGTERM, _exit_on_signal)
    try:
        with _partial_folder(out) as folder:
            work = _work(source, folder, registry, settings, options)
            with _progress_bar(console) as report_progress:
                outcome = separate_song(work, report_progress, registry=registry)
            _publish(outcome, Path(work.output_folder), out)
    except (StemqueueError, EngineError) as error:
        _fail(error.message)
    except OSError as error:
        _fail(f"{error.strerror or error}: {error.filename or out}")
    except KeyboardInterrupt:
        click.echo("stopped", err=True)
        sys.exit(130)
    _print_result(outcome, out)
    best = BEST_FIRST[0]
    if not (options["engine"] or settings.default_engine or best in registry):
        folder = settings.model_folder.resolve()
        click.echo(
            f"note: {work.engine} separated the song, because the better engine {best} is not set up in {folder}",
            err=True,
        )


def _use_prepared_caches(settings: Settings) -> None:
    """Use the caches that set-up has filled, if this user may write to them."""
    prepared = Prepared.beside(settings.model_folder)
    if os.access(prepared.loops, os.W_OK) and os.access(prepared.fonts, os.W_OK):
        os.environ.update(prepared.environment())


def _work(source: Path, folder: Path, registry: Registry, settings: Settings, options: Mapping[str, Any]) -> Work:
    engine = options["engine"] or settings.default_engine or next(name for name in BEST_FIRST if name in registry)
    described = registry[engine].description if engine in registry else None
    start, duration = _excerpt(options["excerpt"])
    given = {"bit_depth": options["bit_depth"], "bitrate_kbps": options["bitrate_kbps"]}
    return Work(
        input_path=str(source.resolve()),
        output_folder=str(folder / "out"),
        scratch_folder=str(folder / "scratch"),
        source_filename=readable_name(source.name),
        engine=engine,
        preset=options["preset"],
        parameters=_parameters(options["parameters"], described),
        stems=tuple(read_stems(options["stems"])) if options["stems"] else None,
        mixes=_mixes(options["mixes"]),
        format=options["format_name"],
        format_options={name: value for name, value in given.items() if value is not None},
        excerpt_start_seconds=start,
        excerpt_duration_seconds=duration,
        audio_stream=options["audio_stream"],
        limits=Limits.from_settings(settings, threads=options["threads"]),
        model_folder=str(settings.model_folder.resolve()),
        extra_engines=split_names(settings.extra_engines),
        ffmpeg_path=settings.ffmpeg_path,
        analyse_music=settings.analyse_music,
    )


def _excerpt(text: str | None) -> tuple[float | None, float | None]:
    if text is None:
        return None, None
    parts = re.fullmatch(r"(\d+(?:\.\d+)?)\+(\d+(?:\.\d+)?)", text)
    if parts is None:
        raise click.BadParameter("give start and length in seconds, as in 90+20", param_hint="--excerpt")
    return float(parts[1]), float(parts[2])


def _mixes(texts: Sequence[str]) -> tuple[Mix, ...]:
    try:
        return read_mixes(texts)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--mix") from error


def _parameters(given: Sequence[str], engine: EngineDescription | None) -> dict[str, Any]:
    """Return the parameters, converted to the types that the engine declares; unknown ones stay text."""
    kinds: dict[str, Callable[[str], Any]] = {"number": float, "integer": int}
    declared = {p.name: p.kind for p in engine.parameters} if engine else {}
    values = {}
    for item in given:
        name, equals, value = item.partition("=")
        if not equals:
            raise click.BadParameter(f"{item!r} is not NAME=VALUE", param_hint="--parameter")
        try:
            values[name] = kinds.get(declared.get(name, ""), str)(value)
        except ValueError:
            raise click.BadParameter(f"{value!r} is not a valid {declared[name]}", param_hint="--parameter") from None
    return values


@contextmanager
def _partial_folder(out: Path) -> Iterator[Path]:
    """Make a folder for the working files in OUT, and remove it at the end.

    The folder must be in OUT to be on the same disk as the results, because OUT may be a mount point. If there are no
    results, the folders that were created for OUT are removed too.
    """
    created = [folder for folder in (out, *out.parents) if not folder.exists()]
    out.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".stemqueue-", suffix=".partial", dir=out.resolve()))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):
            for made in created:
                made.rmdir()


@contextmanager
def _progress_bar(console: Console) -> Iterator[Callable[[str, float], None]]:
    """Show a progress bar with the stage and the time left, if the output is a terminal."""
    columns = (TextColumn("{task.description:<10}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("probe", total=1.0)

        def report(stage: str, fraction: float) -> None:
            bar.update(task, description=stage, completed=overall_progress(stage, fraction))

        yield report


def _publish(outcome: Outcome, made: Path, out: Path) -> None:
    """Move the finished files to OUT."""
    for file in outcome.outputs:
        (made / file.filename).replace(out / file.filename)


def _print_result(outcome: Outcome, out: Path) -> None:
    for file in outcome.outputs:
        if file.kind in {"stem", "mix"}:
            # As bytes, because the path may have characters that the terminal lacks.
            click.echo(os.fsencode(out / file.filename))
    # Programs read tempo and key from the report, and expect only notes on standard error.
    if sys.stderr.isatty() and (line := music_line(outcome.report["music"])):
        click.echo(line, err=True)
    for note in outcome.report["notes"]:
        click.echo(f"note: {note}", err=True)


def _fail(message: str) -> NoReturn:
    click.echo(f"stemqueue-separate: {message}", err=True)
    sys.exit(1)


def _exit_on_signal(number: int, _frame: object) -> NoReturn:
    sys.exit(128 + number)


if __name__ == "__main__":
    main()
