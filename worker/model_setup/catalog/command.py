"""The command `stemqueue-models`: lists, adds, checks and removes models in MODEL_FOLDER.

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 stopped by Ctrl-C. A failure prints one sentence to standard error.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from shared.settings import read_settings, split_names
from worker.model_setup.catalog.add import Added, add_known_model, add_unknown_model
from worker.model_setup.catalog.check import LOWEST_GAIN_DB, SoundCheck, check_files_and_run, check_sound
from worker.model_setup.catalog.fetch import OnProgress, find_model_of
from worker.model_setup.catalog.known_models import TABLE, find_model, known_models
from worker.model_setup.catalog.licence import licence_question
from worker.model_setup.catalog.listing import list_models, print_table, to_json
from worker.model_setup.catalog.model_folders import locked_folder, model_names, remove_model
from worker.model_setup.catalog.rebuild import rebuild_models
from worker.model_setup.errors import ModelSetupError

EXISTING_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--table",
    type=EXISTING_FILE,
    default=TABLE,
    help="File with another table of models, for example with your own download addresses.",
)
@click.pass_context
def main(context: click.Context, table: Path) -> None:
    """List, add, check, rebuild and remove the models in MODEL_FOLDER. Running workers notice changes by themselves."""
    signal.signal(signal.SIGTERM, _exit_on_signal)
    context.obj = table


@main.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
@click.pass_obj
def list_command(table: Path, *, as_json: bool) -> None:
    """Show the models that can be added, and those that are installed."""
    with _failures_told():
        lines = list_models(known_models(table), _model_folder())
        if as_json:
            click.echo(json.dumps(to_json(lines), indent=2))
        else:
            print_table(lines, Console())


@main.command("add")
@click.argument("name", required=False)
@click.option(
    "--file", "files", multiple=True, type=EXISTING_FILE, help="A file that you downloaded yourself; repeatable."
)
@click.option("--accept-licence", "is_accepted", is_flag=True, help="Accept the licence without being asked.")
@click.option("--family", type=click.Choice(["mdx"]), help="The family of a model that is not in the table.")
@click.option("--name", "own_name", help="The name for a model that is not in the table.")
@click.option(
    "--parameters", type=EXISTING_FILE, help="JSON file with n_fft, hop_length, dim_f, dim_t, stem and compensate."
)
@click.pass_obj
def add_command(
    table: Path,
    name: str | None,
    files: Sequence[Path],
    *,
    is_accepted: bool,
    family: str | None,
    own_name: str | None,
    parameters: Path | None,
) -> None:
    """Add the model NAME: download it, or read it from files, and build it for this machine.

    Without NAME, the digests of the files tell which model it is. An MDX-Net that is not in the table needs --file,
    --family, --name and --parameters.
    """
    ask = licence_question(is_accepted=is_accepted)
    unknown = (family, own_name, parameters)
    if any(unknown) and (name or not all(unknown) or len(files) != 1):
        raise click.UsageError(
            "A model that is not in the table needs --file, --family, --name and --parameters, and no NAME."
        )
    if not (name or files):
        raise click.UsageError("Give the NAME of a model, or --file. `stemqueue-models list` shows the names.")
    with _failures_told():
        models, folder = known_models(table), _model_folder()
        if family and own_name and parameters:
            if own_name in models:
                raise ModelSetupError(f"The name {own_name!r} is taken by a model of the table; choose another.")
            added = add_unknown_model(
                family, own_name, folder, files[0], parameters, precision=_precision(), ask=ask, say=_say
            )
        else:
            model = find_model(name, models) if name else find_model_of(files, models)
            with _progress_bar() as on_progress:
                added = add_known_model(
                    model, folder, files, precision=_precision(), ask=ask, on_progress=on_progress, say=_say
                )
        _print_added(added, folder)


@main.command("check")
@click.argument("name")
@click.option("--sound", is_flag=True, help="Also separate a synthesised excerpt, and print the SDR.")
def check_command(name: str, *, sound: bool) -> None:
    """Check the files of the model NAME, and run it."""
    with _failures_told():
        folder = _model_folder()
        if name not in model_names(folder):
            raise ModelSetupError(f"There is no model {name!r} in {folder}.")
        check_files_and_run(folder, name)
        click.echo(f"{name}: the files are unchanged, and the network runs.")
        if sound and _print_sound(name, check_sound(folder, name)) is False:
            raise ModelSetupError(f"{name} does not separate the excerpt: its weights are probably wrong.")


@main.command("rebuild")
def rebuild_command() -> None:
    """Build models again, from the stored files, if they were built for another processor, precision or version."""
    with _failures_told():
        rebuild_models(_model_folder(), click.echo, _precision())


@main.command("remove")
@click.argument("name")
def remove_command(name: str) -> None:
    """Remove the model NAME with its files and unfinished downloads."""
    with _failures_told():
        folder = _model_folder()
        if not folder.is_dir():
            raise ModelSetupError(f"There is no model {name!r} in {folder}.")
        with locked_folder(folder):
            remove_model(folder, name)
        click.echo(f"{name} was removed. Running workers notice this by themselves; running jobs still finish.")


def _model_folder() -> Path:
    return read_settings("stemqueue-models").model_folder.resolve()


def _precision() -> str:
    return read_settings("stemqueue-models").model_precision


@contextmanager
def _failures_told() -> Iterator[None]:
    """End the program with one sentence and exit code 1 if a command fails."""
    try:
        yield
    except ModelSetupError as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"{error.strerror or error}: {error.filename or _model_folder()}")
    except KeyboardInterrupt:
        click.echo("stopped; run `add` again to continue a download", err=True)
        sys.exit(130)


@contextmanager
def _progress_bar() -> Iterator[OnProgress]:
    """Show how a download goes on, if the output is a terminal."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, console=console, disable=not console.is_terminal, transient=True)
    tasks: dict[str, TaskID] = {}

    def report(name: str, have: int, size: int) -> None:
        # Begins here, so that it does not write over the question about the licence.
        bar.start()
        if name not in tasks:
            tasks[name] = bar.add_task(name, total=size)
        bar.update(tasks[name], completed=have)
        if have == size:
            bar.stop()

    try:
        yield report
    finally:
        bar.stop()


def _print_added(added: Added, folder: Path) -> None:
    manifest = added.manifest
    for note in added.notes:
        click.echo(f"note: {note}", err=True)
    speed = ""
    if manifest.real_time_factor:
        speed = f"; a minute of audio takes {60 / manifest.real_time_factor:.2g} s here with two processors"
    chosen = split_names(read_settings("stemqueue-models").worker_engines)
    if chosen and manifest.name not in chosen:
        offered = f"Add it to WORKER_ENGINES (now {','.join(chosen)}), so that workers offer it."
    else:
        offered = "Running workers offer it within a minute, unless they have a WORKER_ENGINES without it."
    click.echo(f"{manifest.name} is ready in {folder / manifest.name}{speed}. {offered}")


def _print_sound(name: str, found: SoundCheck) -> bool | None:
    for stem, score in found.sdr_db.items():
        click.echo(f"{stem}: {score:.1f} dB SDR, the mixture itself {found.mixture_sdr_db[stem]:.1f} dB")
    if found.has_passed is None:
        click.echo(f"{name} has none of the excerpt's stems, so its sound cannot be judged.")
    elif found.has_passed:
        click.echo(
            f"Each stem is at least {LOWEST_GAIN_DB:g} dB better than the mixture. Random weights or swapped stems "
            "never reach that. The excerpt is synthesised, so this does not tell how well the model separates real "
            "songs."
        )
    return found.has_passed


def _say(sentence: str) -> None:
    click.echo(sentence, err=True)


def _fail(message: str) -> NoReturn:
    click.echo(f"stemqueue-models: {message}", err=True)
    sys.exit(1)


def _exit_on_signal(number: int, _frame: object) -> NoReturn:
    sys.exit(128 + number)
