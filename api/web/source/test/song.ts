// A song for tests: it never repeats and is never silent, so that a cut that is one sample off differs everywhere.

/** Returns random numbers from 0 to 1, the same for the same seed (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Returns a 16-bit WAV file of rising tones over soft noise. */
export function songWav(seconds: number, sampleRate: number, channels: number): Uint8Array {
  const random = seededRandom(7);
  const samples = Math.round(seconds * sampleRate);
  const bytes = new DataView(new ArrayBuffer(44 + samples * channels * 2));
  const text = (at: number, letters: string) => [...letters].forEach((letter, i) => bytes.setUint8(at + i, letter.charCodeAt(0)));
  text(0, "RIFF");
  bytes.setUint32(4, bytes.byteLength - 8, true);
  text(8, "WAVEfmt ");
  bytes.setUint32(16, 16, true);
  bytes.setUint16(20, 1, true);
  bytes.setUint16(22, channels, true);
  bytes.setUint32(24, sampleRate, true);
  bytes.setUint32(28, sampleRate * channels * 2, true);
  bytes.setUint16(32, channels * 2, true);
  bytes.setUint16(34, 16, true);
  text(36, "data");
  bytes.setUint32(40, samples * channels * 2, true);
  for (let i = 0; i < samples; i++) {
    const t = i / sampleRate;
    const tones = Math.sin(2 * Math.PI * (220 + 30 * t) * t) + 0.6 * Math.sin(2 * Math.PI * (577 + 11 * t) * t + 1);
    for (let channel = 0; channel < channels; channel++) {
      const sample = 0.2 * tones * (1 - 0.3 * channel) + 0.02 * (random() - 0.5);
      bytes.setInt16(44 + (i * channels + channel) * 2, Math.round(sample * 32_000), true);
    }
  }
  return new Uint8Array(bytes.buffer);
}
