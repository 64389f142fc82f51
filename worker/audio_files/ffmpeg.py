"""ffmpeg as a confined process: which binary, under which limits, told which formats it may open.

It is the only program that ever opens what a stranger uploaded. It gets its input as an open file
descriptor and may open no other, knows no environment and so no secrets, and dies with its parent. Should a file take
it over all the same, the sandbox has left it nothing to read and nobody to talk to.
Owns no audio: decode.py and encode.py say what to run.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO

import psutil

from shared.errors import SeparationFailedError
from worker.audio_files.headers.opening import Opening
from worker.sandbox import launch

# Largest single allocation. Files ask for absurd ones; a track of 24 h in M4A needs a table of 90 MB.
MAX_ALLOCATION_BYTES = 128 << 20

DEMUXERS = (
    "aac,ac3,aea,aiff,amr,ape,asf,au,avi,avr,bonk,caf,dsf,dts,dtshd,dv,eac3,flac,flv,gxf,iff,ircam,loas"
    ",matroska,webm,mlp,mov,mp4,m4a,3gp,3g2,mj2,mp3,mpc,mpc8,mpeg,mpegts,mxf,nistsphere,nut,ogg,oma,osq,paf,pvf"
    ",qcp,qoa,rka,rm,shn,sox,spdif,tak,truehd,tta,voc,vqf,w64,wav,wavarc,wsd,wtv,wv,xwma"
)
"""Containers that hold their own samples: music, speech, broadcasts. Playlists, concatenation scripts and trackers
name other files or compute their sound, so they are not here; nor are the formats of single games."""

RAW_DEMUXERS = "s8,u8,s16be,s16le,s24be,s24le,s32be,s32le,f32be,f32le,f64be,f64le"
"""Samples without a header. ffmpeg never takes a file for one of these: headers/plain_samples.py says when."""

DECODERS = (
    "8svx_exp,8svx_fib,aac,aac_latm,ac3,adpcm_ct,adpcm_ima_qt,adpcm_ima_wav,adpcm_ms,adpcm_sbpro_2,adpcm_sbpro_3"
    ",adpcm_sbpro_4,adpcm_swf,adpcm_yamaha,alac,als,amrnb,amrwb,ape,atrac1,atrac3,atrac3al,atrac3plus,atrac3plusal,bonk"
    ",cook,dca,dolby_e,dsd_lsbf,dsd_lsbf_planar,dsd_msbf,dsd_msbf_planar,dst,dvaudio,eac3,evrc,flac,g722,g723_1,g726"
    ",g726le,gsm,gsm_ms,ilbc,imc,mace3,mace6,metasound,mlp,mp1,mp1float,mp2,mp2float,mp3,mp3adu,mp3adufloat,mp3float"
    ",mp3on4,mp3on4float,mpc7,mpc8,nellymoser,opus,osq,paf_audio,pcm_alaw,pcm_bluray,pcm_dvd,pcm_f16le,pcm_f24le"
    ",pcm_f32be,pcm_f32le,pcm_f64be,pcm_f64le,pcm_mulaw,pcm_s16be,pcm_s16be_planar,pcm_s16le,pcm_s16le_planar"
    ",pcm_s24be,pcm_s24daud,pcm_s24le,pcm_s24le_planar,pcm_s32be,pcm_s32le,pcm_s32le_planar,pcm_s64be,pcm_s64le,pcm_s8"
    ",pcm_s8_planar,pcm_u16be,pcm_u16le,pcm_u24be,pcm_u24le,pcm_u32be,pcm_u32le,pcm_u8,qcelp,qdm2,qdmc,qoa,real_144"
    ",real_288,rka,s302m,shorten,sipr,speex,tak,truehd,truespeech,tta,twinvq,vorbis,wavarc,wavpack,wmalossless,wmapro"
    ",wmav1,wmav2,wmavoice"
)
"""Decoders of audio. No decoder of pictures or video: covers are carried over as the bytes they are."""


MAX_OPEN_FILES = 32
"""ffmpeg needs its input, output and error, and a few for its own threads' pipes."""


@dataclass(frozen=True)
class Confinement:
    """What an ffmpeg process may use: address space, processor time, the size of any one file, a folder to write to."""

    memory_bytes: int = 1 << 30
    cpu_seconds: int = 3600
    file_bytes: int = 1 << 40
    writable_folder: Path | None = None


@lru_cache(maxsize=1)
def bundled_ffmpeg() -> str:
    """Return the path of the ffmpeg that the package imageio-ffmpeg brings along."""
    import imageio_ffmpeg  # noqa: PLC0415 - 40 ms that a given path spares

    return str(imageio_ffmpeg.get_ffmpeg_exe())


def untrusted_input(opening: Opening, *, threads: int = 1) -> list[str]:
    """Return the options that open file descriptor 0 as untrusted audio."""
    return [
        *("-max_alloc", str(MAX_ALLOCATION_BYTES), "-threads", str(threads)),
        # ffmpeg would take three channels for stereo and bass.
        *("-guess_layout_max", "2"),
        *("-format_whitelist", f"{DEMUXERS},{RAW_DEMUXERS}", "-codec_whitelist", DECODERS, *opening.input_options()),
    ]


def start(
    arguments: Sequence[str],
    *,
    ffmpeg_path: str | None,
    confinement: Confinement,
    stdin: int | IO[bytes] = subprocess.DEVNULL,
    stdout: int | IO[bytes] = subprocess.DEVNULL,
    stderr: int | IO[bytes] = subprocess.DEVNULL,
    further: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start ffmpeg with these arguments; the caller waits for it, or kills it.

    The `further` file descriptors are open to it under their numbers. The process stays in the caller's process group,
    so that who kills the group gets it too. Raises SandboxUnavailableError.
    """
    program = ffmpeg_path or bundled_ffmpeg()
    return launch.start(
        [program, "-nostdin", *arguments],
        _sandbox(program, confinement),
        environment={},
        further=further,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
    )


def _sandbox(program: str, confinement: Confinement) -> launch.Sandbox:
    """Return what ffmpeg may do: read the system's programs and its own folder, write into one folder, compute."""
    writable = confinement.writable_folder
    return launch.Sandbox(
        allowed=[
            *(("run", folder) for folder in (*launch.SYSTEM_FOLDERS, Path(program).resolve().parent)),
            *(("read", file) for file in launch.LOADER_FILES),
            *([("write", writable.absolute())] if writable else []),
        ],
        limits={
            "memory": confinement.memory_bytes,
            "processor": confinement.cpu_seconds,
            "file": confinement.file_bytes,
            "descriptors": MAX_OPEN_FILES,
        },
        alone=True,
    )


def demand_not_killed(returncode: int | None) -> None:
    """Raise SeparationFailedError if somebody else ended the process: the kernel for want of memory, or a person.

    That says nothing of the file, and what came until then is no song that ends there: another try may do better. Its
    own limits end it by other signals (sandbox/limits.py).
    """
    if returncode in {-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP}:
        raise SeparationFailedError(f"Another program stopped the decoder (signal {-returncode}).")


def processor_seconds(process: subprocess.Popen[bytes]) -> float:
    """Return how much processor time the process has had; nobody else may have waited for it."""
    times = psutil.Process(process.pid).cpu_times()
    return float(times.user + times.system)


def wait(process: subprocess.Popen[bytes], *, seconds: float) -> bool:
    """Return whether the process has ended within this time.

    `Popen.wait` with a timeout sleeps up to 50 ms too long; most runs here take less than that.
    """
    descriptor = os.pidfd_open(process.pid)
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        if not poll.poll(seconds * 1000):
            return False
    finally:
        os.close(descriptor)
    process.wait()
    return True
