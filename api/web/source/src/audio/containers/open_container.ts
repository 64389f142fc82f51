// Recognises a file's container by its first bytes, whatever the file is called, and opens it with the right reader.

import type { AudioFile, OpenAudioFile, ReadRange } from "./audio_file";
import { textAt } from "./bytes";
import { openFlac } from "./flac";
import { openChecked } from "./limits";
import { openMp3 } from "./mpeg/mp3";
import { openMp4 } from "./mp4/open";
import { openOgg } from "./ogg/open";
import { openWav } from "./wav";

const MAGIC_BYTES = 12;

/** Returns undefined if the container is unknown. Throws UnsupportedFile if it is known and the file cannot be cut. */
export async function openContainer(read: ReadRange, size: number, decodedRate: number | null): Promise<AudioFile | undefined> {
  const open = readerFor(await read(0, Math.min(MAGIC_BYTES, size)));
  return open && openChecked(open, read, size, decodedRate);
}

function readerFor(head: Uint8Array): OpenAudioFile | undefined {
  const magic = textAt(head, 0);
  if (magic === "fLaC") return openFlac;
  if (magic === "RIFF") return openWav;
  if (magic === "OggS") return openOgg;
  if (textAt(head, 4) === "ftyp") return openMp4;
  return magic.startsWith("ID3") || (head[0] === 0xff && (head[1]! & 0xe6) === 0xe2) ? openMp3 : undefined;
}
