// Opens a file for playback: in segments if its container can be cut, else decoded whole if it is short.

import { ERROR_WORDS } from "../../words/errors";
import { UnsupportedFile, type ReadRange } from "../containers/audio_file";
import { openContainer } from "../containers/open_container";
import { httpReader } from "./ranges";
import { SegmentedTrack } from "./segmented_track";
import { cutIntoSegments, type Segments } from "./segments";
import type { Track } from "./track";
import { openWhole } from "./whole";

/**
 * The most memory that a file may take when it is decoded whole: nearly three minutes of stereo. The browser's decoder
 * briefly takes as much again.
 */
const MAX_WHOLE_BYTES = 60e6;

/** What the API says about a stem or the original. */
export interface RemoteAudio {
  url: string;
  size_bytes: number;
  duration_seconds?: number | null;
  sample_rate_hz?: number | null;
  channels?: number | null;
}

/** Opens a file as a track; `offsetSeconds` is where in the file the song begins. Throws UnsupportedFile or Problem. */
export async function openTrack(context: AudioContext, audio: RemoteAudio, signal: AbortSignal, offsetSeconds = 0): Promise<Track> {
  const segments = await openSegments(context, audio, httpReader(audio.url, signal));
  return new SegmentedTrack(context, segments, Math.round(offsetSeconds * context.sampleRate));
}

/** Opens a file as segments. Throws UnsupportedFile or Problem. */
export async function openSegments(context: BaseAudioContext, audio: RemoteAudio, read: ReadRange): Promise<Segments> {
  try {
    const file = await openContainer(read, audio.size_bytes, audio.sample_rate_hz ?? null);
    if (file) return cutIntoSegments(file, context, audio.channels ?? 2);
  } catch (error) {
    if (!(error instanceof UnsupportedFile)) throw error;
  }
  if (Math.max(audio.size_bytes, decodedBytes(audio, context)) > MAX_WHOLE_BYTES) {
    throw new UnsupportedFile(ERROR_WORDS.tooLongToDecode);
  }
  return openWhole(read, audio.size_bytes, context);
}

function decodedBytes(audio: RemoteAudio, context: BaseAudioContext): number {
  return (audio.duration_seconds ?? Infinity) * context.sampleRate * (audio.channels ?? 2) * 4;
}
