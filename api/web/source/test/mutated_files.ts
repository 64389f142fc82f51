// The files that are damaged, by the reader that opens them. They are small, so that ten thousand are quick and a mutation is
// likely to hit what matters.

import type { Encoding } from "./ffmpeg";

const FILM = ["-f", "lavfi", "-i", "testsrc=size=32x32:rate=5:duration=1", "-map", "1:v", "-map", "0:a", "-c:v", "mpeg4"];
const SMALL_AAC = ["-c:a", "aac", "-b:a", "24k"];

export const READERS: Record<string, Encoding[]> = {
  flac: [{ output: "a.flac" }, { output: "a.flac", options: ["-frame_size", "512"] }],
  mp3: [{ output: "a.mp3", options: ["-b:a", "16k"] }, { output: "a.mp3", options: ["-b:a", "16k", "-write_xing", "0"] }],
  mp4: [
    { output: "a.m4a", options: SMALL_AAC },
    { output: "a.mov", options: [...FILM, ...SMALL_AAC, "-movflags", "+faststart"] },
  ],
  ogg: [{ output: "a.ogg", options: ["-page_duration", "200000"] }, { output: "a.opus", options: ["-b:a", "16k", "-page_duration", "200000"] }],
  wav: [{ output: "a.wav", options: ["-ac", "1"] }],
};
