// Protects the page from damaged and hostile files. Every reader runs behind these checks, so that each call ends in a
// plausible result or in an UnsupportedFile.

import { UnsupportedFile, type AudioFile, type OpenAudioFile, type ReadRange } from "./audio_file";

/** Opening a file takes a handful of reads; a film that hides its tables behind thousands of boxes is not worth more. */
const MAX_READS_TO_OPEN = 1000;

/** The sample rates that browsers accept. */
const MIN_SAMPLE_RATE = 3000;
const MAX_SAMPLE_RATE = 768_000;

const MAX_SECONDS = 7 * 24 * 3600;

/** Opens a file with a container's reader. Whatever is wrong with the file is an UnsupportedFile; failed reads pass through. */
export async function openChecked(open: OpenAudioFile, read: ReadRange, size: number, decodedRate: number | null): Promise<AudioFile> {
  let reads = 0;
  let isOpen = false;
  const checkedRead: ReadRange = async (start, stop) => {
    if (!(start >= 0 && start <= stop && stop <= size)) throw new UnsupportedFile("The file points outside of itself.");
    if (start === stop) return new Uint8Array(0);
    if (!isOpen && ++reads > MAX_READS_TO_OPEN) throw new UnsupportedFile("The file's tables take too many reads.");
    const bytes = await read(start, stop);
    if (bytes.length !== stop - start) throw new UnsupportedFile("The file is shorter than it should be.");
    return bytes;
  };
  const file = await withTypedErrors(() => open(checkedRead, size, decodedRate));
  isOpen = true;
  const { sampleRate, totalSamples, segmentSeconds = Infinity } = file;
  if (!isCount(sampleRate, MAX_SAMPLE_RATE) || sampleRate < MIN_SAMPLE_RATE) {
    throw new UnsupportedFile(`The file's sample rate is ${sampleRate} Hz.`);
  }
  if (!isCount(totalSamples, MAX_SECONDS * sampleRate) || totalSamples === 0) {
    throw new UnsupportedFile(`The file has ${totalSamples} samples.`);
  }
  return {
    sampleRate,
    totalSamples,
    segmentSeconds,
    cut: (first, stop) =>
      withTypedErrors(async () => {
        const cut = await file.cut(first, stop);
        if (!isCount(cut.skip, Infinity)) throw new UnsupportedFile("The file's positions contradict each other.");
        return cut;
      }),
  };
}

function isCount(number: number, max: number): boolean {
  return Number.isInteger(number) && number >= 0 && number <= max;
}

/** Reading past the end of a table is a RangeError of the language; here it says that the file is damaged. */
async function withTypedErrors<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof RangeError) throw new UnsupportedFile("The file's tables end too early.");
    throw error;
  }
}
