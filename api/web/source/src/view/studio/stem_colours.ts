// The colour of each stem, the same in the mixer and beside its spectrogram.

import type { Job } from "../../api/types";

const NAMED = ["mixture", "vocals", "accompaniment"];
const OTHERS = 4;

/** Returns the CSS class with a stem's colour. Stems without a colour of their own take turns with the others. */
export function toneOf(job: Job, name: string): string {
  if (NAMED.includes(name)) return `of-${name}`;
  const others = job.stems.map((stem) => stem.name).filter((other) => !NAMED.includes(other));
  return `of-other-${(Math.max(0, others.indexOf(name)) % OTHERS) + 1}`;
}
