// Which colour a stem has, the same in the mixer and beside its picture.

import type { Job } from "../../api/types";

const NAMED = ["mixture", "vocals", "accompaniment"];
const OTHERS = 4;

/** Returns the class that colours what belongs to a stem; stems without a colour of their own share out the others. */
export function toneOf(job: Job, name: string): string {
  if (NAMED.includes(name)) return `of-${name}`;
  const others = job.stems.map((stem) => stem.name).filter((other) => !NAMED.includes(other));
  return `of-other-${(Math.max(0, others.indexOf(name)) % OTHERS) + 1}`;
}
