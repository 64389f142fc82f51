// Cuts MP3 files. In those of a constant bitrate a frame's number tells where it is. In others frames are counted from the start,
// only as far as they are wanted; if no tag says how many frames there are, the whole file is read first.
//
// A frame depends on the frames before it (bit reservoir, overlapping transform), so each cut begins some frames early and
// drops what they decode to. The samples that encoder and decoder add before the music are in LAME's tag, if there is one.

import { UnsupportedFile, type OpenAudioFile, type ReadRange } from "../audio_file";
import { textAt } from "../bytes";
import { readConstantFrames } from "./constant_frames";
import { FrameReader, type FoundFrames } from "./frame_reader";
import { findFrameAt, parseFrameHeader, readEncoderTag, MIN_FRAME_BYTES, type FrameHeader } from "./mp3_headers";

/** Frames to decode before a cut and drop: more than the bit reservoir spans at the lowest bitrates. */
const LEAD_IN_FRAMES = 12;

/** How far back the bit reservoir reaches, what of a frame is not part of it, and the frames that the transform needs to settle. */
const RESERVOIR_BYTES = 511;
const SIDE_BYTES = 38;
const SETTLING_FRAMES = 2;

/** Short segments keep a first seek below 100 kB at any bitrate: it takes two of them. */
const SEGMENT_BYTES = 40_000;

/** What every decoder adds before the first sample. */
const DECODER_DELAY = 529;

/** How far to search for the first frame: as far as ffmpeg does, which decodes for the worker. */
const MAX_JUNK_BYTES = 1 << 16;

/** Two of the longest frames: enough to confirm that a frame begins. */
const MARGIN_BYTES = 1 << 12;

/** Some encoders include tags after the music in the number of bytes, some do not. */
const MAX_TAG_BYTES_BEHIND = 1 << 12;

const ID3_HEADER_BYTES = 10;
const MAX_ID3_TAGS = 20;

export const openMp3: OpenAudioFile = async (read, size) => {
  const start = await skipId3(read, size);
  const { head, at } = await findFirstFrame(read, size, start);
  const first = parseFrameHeader(head, at);
  if (!first) throw new UnsupportedFile("The MP3 file does not begin with a frame.");
  return openFrames(read, size, start + at, first, head.subarray(at, at + first.bytes));
};

/** Reads the first frame; only if it is not where it should be, all bytes in which it may hide. */
async function findFirstFrame(read: ReadRange, size: number, start: number): Promise<{ head: Uint8Array; at: number }> {
  const near = await read(start, Math.min(size, start + MARGIN_BYTES));
  if (findFrameAt(near, 0, 1) === 0) return { head: near, at: 0 };
  const head = await read(start, Math.min(size, start + MAX_JUNK_BYTES + MARGIN_BYTES));
  return { head, at: findFrameAt(head, 0, MAX_JUNK_BYTES) };
}

/** Opens the row of frames that begins at `start` with the frame `first`, whose bytes may hold a tag. */
async function openFrames(read: ReadRange, size: number, start: number, first: FrameHeader, firstBytes: Uint8Array) {
  const { samples: frameSamples, sampleRate } = first;
  const tag = readEncoderTag(firstBytes);
  const rowStart = start + (tag ? first.bytes : 0);
  const reader = new FrameReader(read, size, rowStart, findFrames);
  // Trust the tag's number of frames only if its number of bytes is right.
  const isTrusted =
    tag !== null && Math.abs(size - start - tag.bytes) < MAX_TAG_BYTES_BEHIND && tag.frames > 0 && tag.frames * MIN_FRAME_BYTES <= size;
  if (!isTrusted) await reader.indexFrames(Infinity);
  const frameCount = isTrusted ? tag.frames : reader.frames.length;
  const row = isTrusted && tag.isConstant ? { start: rowStart, bytes: tag.bytes - first.bytes, frames: tag.frames } : null;
  const leadIn = row ? leadInFrames(row.bytes / row.frames) : LEAD_IN_FRAMES;
  const delay = tag?.lame ? tag.lame.delay + DECODER_DELAY : 0;
  const dropped = tag?.lame ? tag.lame.delay + tag.lame.padding : 0;
  return {
    sampleRate,
    totalSamples: frameCount * frameSamples - dropped,
    segmentSeconds: row ? Math.floor((SEGMENT_BYTES * frameCount * frameSamples) / sampleRate / row.bytes) : Infinity,
    async cut(first: number, stop: number) {
      const from = Math.max(0, Math.floor((first + delay) / frameSamples) - leadIn);
      const to = Math.min(frameCount, Math.ceil((stop + delay) / frameSamples) + 1);
      const frames = row && (await readConstantFrames(read, row, from, to));
      return { file: frames ?? (await reader.readFrames(from, to)), skip: first + delay - from * frameSamples };
    },
  };
}

function leadInFrames(frameBytes: number): number {
  return Math.min(LEAD_IN_FRAMES, Math.ceil(RESERVOIR_BYTES / Math.max(1, frameBytes - SIDE_BYTES)) + SETTLING_FRAMES);
}

function findFrames(bytes: Uint8Array, isLast: boolean): FoundFrames {
  const limit = isLast ? bytes.length : bytes.length - MARGIN_BYTES;
  const frames = [];
  let at = 0;
  while (at < limit) {
    const header = parseFrameHeader(bytes, at);
    if (header) {
      const end = at + header.bytes;
      if (end > bytes.length) break;
      frames.push({ start: at, end });
      at = end;
    } else {
      // A tag or damage in the middle of the file: decoders go on with the next frame.
      at = Math.min(limit, findFrameAt(bytes, at, limit - at));
    }
  }
  return { frames, next: at };
}

/** Returns where the first byte behind the ID3 tags is. Some programs write several. */
async function skipId3(read: ReadRange, size: number): Promise<number> {
  let at = 0;
  for (let tags = 0; tags < MAX_ID3_TAGS; tags++) {
    const head = await read(at, Math.min(size, at + ID3_HEADER_BYTES));
    const [flags, a, b, c, d] = head.subarray(5);
    if (textAt(head, 0, 3) !== "ID3" || d === undefined) return at;
    const footer = flags! & 0x10 ? ID3_HEADER_BYTES : 0;
    const end = at + ID3_HEADER_BYTES + (a! << 21) + (b! << 14) + (c! << 7) + d + footer;
    if (end >= size) throw new UnsupportedFile("The MP3 file's ID3 tag does not end.");
    at = end;
  }
  throw new UnsupportedFile("The MP3 file has too many ID3 tags.");
}
