"""Decides by its name whether a file may be audio: in a folder, below a bucket's prefix, in a folder that is dropped.

Everything is taken but what is surely something else, because only the worker knows what a file holds: songs are called
`...Baby One More Time.mp3` or have no extension at all. What is left out is counted and told. The client imports this
module, so it uses the standard library only; the page gets the same lists (`api/web/static/audio_names.json`).
"""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import PurePosixPath

from shared.audio.formats import INPUT_EXTENSIONS

EXTENSION = re.compile(r"(?<=.)\.([A-Za-z0-9_-]{1,12})$")
"""How a name's extension looks. `Mr. Brightside` and `.bashrc` have none."""


class LeftOut(StrEnum):
    """Why a file is not taken."""

    SYSTEM = "system"
    """An operating system, a file server or a synchroniser keeps it for itself."""

    OTHER = "other"
    """Its extension is that of something else: a picture, a text, an archive."""


SYSTEM_FOLDERS = frozenset(
    {
        # macOS
        *(".appledouble", "__macosx", ".spotlight-v100", ".fseventsd", ".temporaryitems", ".documentrevisions-v100"),
        *(".trash", ".trashes", "network trash folder", "temporary items", ".appledb", ".appledesktop"),
        # Windows
        *("$recycle.bin", "recycler", "system volume information"),
        # Linux
        *("lost+found", ".cache", ".thumbnails", ".snapshots", ".snapshot"),
        # file servers: Synology, QNAP, Samba
        *("@eadir", "#recycle", "#snapshot", "@tmp", "@recycle", ".@__thumb", "@recently-snapshot", ".recycle"),
        # synchronisers: Syncthing, Resilio, Dropbox, rsync
        *(".stversions", ".stfolder", ".sync", ".dropbox.cache", ".rsync-partial", "~rsync"),
        # version control and packages
        *(".git", ".svn", ".hg", "node_modules", "__pycache__"),
    }
)
"""Folders without songs of their own, in lower case. `.Trash-1000` is one too."""

SYSTEM_FILES = frozenset(
    {
        *(".ds_store", ".localized", ".volumeicon.icns", ".apdisk", "icon\r"),
        *("thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "folder.ini"),
        *(".directory", ".nomedia", ".hidden", ".stignore", ".dropbox", "synoindex", ".metadata_never_index"),
    }
)
"""Names of such files, in lower case. Other names with a leading dot and without an extension are theirs too."""

OTHER_EXTENSIONS = frozenset(
    (
        # pictures
        "jpg jpeg jpe jfif png gif webp bmp tif tiff heic heif avif svg ico icns psd psb xcf ai eps raw cr2 nef dng thm"
        # texts and documents
        " txt nfo diz md rst rtf doc docx odt pages pdf epub mobi xls xlsx ods numbers csv tsv ppt pptx key tex"
        " htm html xhtml css js mjs jsx tsx json jsonl xml yaml yml toml ini cfg conf log plist opf xmp"
        # playlists, cue sheets, lyrics, subtitles
        " m3u m3u8 pls xspf asx wpl wax wvx zpl b4s cue toc mds ccd lrc srt ass ssa vtt sub idx sup"
        # checksums and rip logs
        " sfv md5 sha1 sha256 sha512 ffp fp st5 par2 accurip auCDtect sig asc"
        # scores, notes for instruments, and projects without sound
        " mid midi kar rmi musicxml mxl mscz mscx sib mus gp3 gp4 gp5 gpx als alp flp cpr npr logicx band ptx ptf rpp"
        " aup aup3 ses sesx reapeaks asd pek pk sfk ovw gpk sfl wfm nki nkm sf2 sfz"
        # links, shortcuts, databases, left-overs
        " url webloc lnk desktop ifo bup db sqlite sqlite3 db-wal db-shm itl itdb itc itc2 torrent part partial"
        " crdownload tmp temp bak old swp lock ini~ orig aria2 filepart"
        # programs and fonts
        " exe dll msi so dylib app apk jar py pyc sh bat cmd ps1 rb go rs c h cpp java class php lua ttf otf woff woff2"
        # archives and images of disks
        " zip rar r00 r01 7z gz tgz tar bz2 xz zst lz4 cab iso img bin nrg mdf dmg pkg deb rpm"
    )
    .lower()
    .split()
)
"""Extensions of files that are surely no audio, in lower case."""


def extension(name: str) -> str:
    """Return the extension of a file's name or path in lower case, without the dot; empty if it has none."""
    found = EXTENSION.search(PurePosixPath(name).name)
    return found[1].lower() if found else ""


def without_audio_extension(path: str) -> str:
    """Return a path without its extension, if that is one of audio: `Mr. Brightside` stays whole."""
    found = extension(path)
    return path[: -len(found) - 1] if found in INPUT_EXTENSIONS else path


def is_system_folder(name: str) -> bool:
    """Return whether a folder with this name has no songs of its own."""
    lower = name.lower()
    return lower in SYSTEM_FOLDERS or lower.startswith(".trash-")


def left_out_because(path: str) -> LeftOut | None:
    """Return why the file at this path, below the catalog's folder or prefix, is not taken; None if it may be audio."""
    *folders, name = path.split("/")
    lower = name.lower()
    if any(map(is_system_folder, folders)) or lower in SYSTEM_FILES or lower.startswith("._"):
        return LeftOut.SYSTEM
    found = extension(name)
    if not found and re.fullmatch(r"\.[^. ][^ ]*", name):
        return LeftOut.SYSTEM
    return LeftOut.OTHER if found in OTHER_EXTENSIONS else None
