// What the studio says: player, mixer, spectrograms, keyboard shortcuts.

import type { Output } from "../api/types";
import { capitalised, formatBytes, formatPercent, plural, spokenTime } from "./numbers";

export const PLAYER_WORDS = {
  label: "Player",
  play: "Play",
  pause: "Pause",
  loading: "Loading the audio…",
  source: "What you hear",
  stems: "Stems",
  original: "Original",
  compare: "Compare with the original song (o)",
  stemsForOriginal: "All stems together: they add up to the song.",
  originalUnplayable: "This browser cannot play the original's format.",
  soundOff: "The browser has blocked the sound. Press play again.",
};

/** Adds a keyboard shortcut to a tooltip. */
export const withKey = (words: string, key: string) => `${words} (${key})`;

export const PRACTICE_WORDS = {
  label: "Practice",
  speed: "Speed",
  pitch: "Pitch",
  snap: "Loops snap to beats",
  unplayable: "This browser cannot change speed or pitch.",
  needsHttps: "Browsers can change speed and pitch only if the page is opened over HTTPS or on the server's own machine.",
};

export const speedWords = (speed: number) => `${Math.round(speed * 100)} %`;

/** Says how far the song is transposed, as in "+2 semitones". */
export function pitchWords(semitones: number): string {
  if (semitones === 0) return "original";
  const sign = semitones > 0 ? "+" : "−";
  return `${sign}${plural(Math.abs(semitones), "semitone")}`;
}

/** Says the tempo and the key at the speed and pitch that are set now. */
export function tempoWords(tempo: number | null, key: string | null, speed: number, semitones: number): string {
  return [tempo && `${Math.round(tempo * speed)} BPM`, key && transposedKey(key, semitones)].filter(Boolean).join(" · ");
}

/** The tonics in the server's spelling: in minor, one is a G sharp. */
const TONICS = ["C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B"];
const ALSO = "G#";

/** Names a key such as "F# minor" after a transposition. A name that is unknown stays as it is. */
export function transposedKey(key: string, semitones: number): string {
  const [tonic = "", mode] = key.split(" ");
  const place = TONICS.indexOf(tonic === ALSO ? "Ab" : tonic);
  if (place < 0 || !mode) return key;
  const moved = TONICS[(((place + semitones) % TONICS.length) + TONICS.length) % TONICS.length]!;
  return `${moved === "Ab" && mode === "minor" ? ALSO : moved} ${mode}`;
}

export const MIXER_WORDS = {
  title: "Mixer",
  original: "Original",
  solo: "Play only this stem",
  mute: "Mute this stem",
  resetVolume: "Double-click to set it to 100 %",
  silent: "Nearly silent",
  position: "Position in the song",
  saveHint: "Saves a WAV file at these volumes",
  nothingToSave: "All stems are muted",
  save: "Save this mix",
  stopSaving: ": stop",
};

export const soloLabel = (stem: string) => `Solo ${stem}`;
export const muteLabel = (stem: string) => `Mute ${stem}`;
export const volumeLabel = (stem: string) => `Volume of ${stem}`;
export const volumeWords = (percent: number) => `${percent} percent`;
export const volumeNote = (volume: number) => ` ${Math.round(volume * 100)} %`;
export const mixingWords = (share: number) => `Mixing, ${formatPercent(share)}`;
export const positionWords = (seconds: number, duration: number) => `${spokenTime(seconds)} of ${spokenTime(duration)}`;

export function downloadLabel(stem: Output & { format: string }): string {
  return `Download ${stem.name} as ${stem.format.toUpperCase()}, ${formatBytes(stem.size_bytes)}`;
}

export const LOOP_WORDS = {
  label: "Loop",
  from: "From here",
  fromLabel: "Loop from here",
  to: "To here",
  toLabel: "Loop to here",
  stop: "Stop looping",
  hint: "or drag across a track",
};

export const ZOOM_WORDS = {
  label: "Zoom",
  loop: "Zoom to the loop",
  out: "Zoom out",
  in: "Zoom in",
  whole: "Show the whole song",
};

export const SPECTROGRAM_WORDS = {
  title: "Spectrograms",
  legend: "Brighter means louder. Low notes are at the bottom.",
  failed: "The picture could not be loaded.",
  open: "Open as one picture",
  peak: "0 dB, the song’s peak",
};

export const colourRange = (rangeDb: number) => `Colour scale: dark is ${rangeDb} dB below the song's peak, bright is the peak`;
export const darkestLevel = (rangeDb: number) => `−${rangeDb} dB`;

const SPECTROGRAM_TITLES: Record<string, string> = { mixture: "Full spectrum" };

export function spectrogramTitle(name: string): string {
  return SPECTROGRAM_TITLES[name] ?? capitalised(name);
}

export const KEY_HELP_WORDS = { title: "Keyboard shortcuts", close: "Close" };

/** The keyboard shortcuts; `seekSeconds` is how far the arrow keys move. */
export function keyHelp(seekSeconds: number): readonly (readonly [keys: string[], words: string])[] {
  return [
    [["Space"], "Play or pause"],
    [["←", "→"], `${seekSeconds} seconds back or forward`],
    [["0"], "Back to the start"],
    [["1", "2", "…"], "Solo a stem; with Shift, mute it"],
    [["o"], "Switch between the original and the stems"],
    [["[", "]"], "Loop from here, or to here"],
    [["l"], "Stop looping"],
    [[",", "."], "Play slower or faster"],
    [["+", "−"], "Zoom in or out, as does Ctrl with the mouse wheel"],
    [["?"], "Show this list"],
  ];
}
