"""`make run SONG=…`: one song through the stack with the client that users have.

A stack of this clone that runs already is used; else one is started, with its log in a file, and stopped again.
Make hands its variables over in the environment, since a name may hold anything.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from signal import SIGTERM

from deploy.local.console import Console
from deploy.local.private_files import make_private_folder
from deploy.local.processes import ServiceStartError, dying_with_us
from deploy.local.service_plan import PortTakenError
from deploy.local.stack import Stack, run_stack, stack_settings
from deploy.local.stack_lock import AlreadyRunningError

# How long the client may take to cancel its job when it is told to stop.
_FAREWELL_SECONDS = 5.0


def client_command(url: str) -> list[str]:
    """Return the client's command line for the song and the options that make was given."""
    song = os.environ["SONG"]
    out = os.environ.get("OUT") or str(Path("stems") / Path(song).stem)
    command = [sys.executable, "-m", "api.client", "run", f"--url={url}", f"--out={out}"]
    for option in ("engine", "format", "excerpt", "audio-stream"):
        if value := os.environ.get(option.upper().replace("-", "_")):
            command.append(f"--{option}={value}")
    return [*command, "--", song]


def run_client(stack: Stack) -> int:
    """Run the client beside the stack, which is looked after meanwhile, and return its exit code."""
    if stack.stopping.is_set():
        return 1
    # In our process group: a Ctrl-C reaches it as well.
    with subprocess.Popen(dying_with_us(client_command(stack.url))) as client:
        while client.poll() is None and not stack.stopping.wait(0.1):
            stack.look_after()
        try:
            return client.wait(_FAREWELL_SECONDS)
        except subprocess.TimeoutExpired:
            client.send_signal(SIGTERM)
            return client.wait()


def main() -> None:
    """Separate the song, and exit as the client does."""
    sys.exit(_main())


def _main() -> int | str:
    settings = stack_settings()
    log_file = make_private_folder(settings.state_folder / "log") / "stack.log"

    def announce() -> None:
        first = "" if (settings.model_folder / "unet").is_dir() else "; this once it takes some 20 s longer"
        print(f"starting the servers (log: {os.path.relpath(log_file)}){first}", file=sys.stderr, flush=True)

    try:
        with log_file.open("a", encoding="utf-8") as log:
            return run_stack(settings, Console(log), run_client, announce)
    except AlreadyRunningError as running:
        return subprocess.run(client_command(running.url), check=False).returncode
    except PortTakenError as error:
        return f"make: {error}"
    except ServiceStartError as error:
        return f"make: {error}; see {os.path.relpath(log_file)}"


if __name__ == "__main__":
    main()
