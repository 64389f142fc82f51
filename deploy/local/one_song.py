"""`make run SONG=…`: separates one song with `stemqueue run`.

It uses this clone's stack if one is running. Otherwise it starts a stack, with the log in a file, and stops it at the
end. Make passes its variables in the environment, because a file name may contain any character.
"""

from __future__ import annotations

import os
import subprocess
import sys
from signal import SIGTERM

from deploy.local.console import Console
from deploy.local.private_files import make_private_folder
from deploy.local.processes import ServiceStartError, killed_with_parent
from deploy.local.service_plan import PortTakenError
from deploy.local.stack import Stack, run_stack, stack_settings
from deploy.local.stack_lock import AlreadyRunningError

# How long the client may take to cancel its job after a Ctrl-C.
_CANCEL_SECONDS = 5.0


def client_command(url: str) -> list[str]:
    """Return the client's command line for the song and options in the environment."""
    song = os.environ["SONG"]
    command = [sys.executable, "-m", "api.client", "run", f"--url={url}"]
    for option in ("out", "engine", "stems", "format", "excerpt", "audio-stream"):
        if value := os.environ.get(option.upper().replace("-", "_")):
            command.append(f"--{option}={value}")
    command += [f"--mix={mix}" for mix in os.environ.get("MIX", "").split()]
    return [*command, "--", song]


def run_client(stack: Stack) -> int:
    """Run the client, supervise the stack meanwhile, and return the client's exit code."""
    if stack.stopping.is_set():
        return 1
    # It is in our process group, so a Ctrl-C reaches it too.
    with subprocess.Popen(killed_with_parent(client_command(stack.url))) as client:
        while client.poll() is None and not stack.stopping.wait(0.1):
            stack.restart_ended()
        try:
            return client.wait(_CANCEL_SECONDS)
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
        first = "" if (settings.model_folder / "unet").is_dir() else "; the first start takes about 20 s longer"
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
