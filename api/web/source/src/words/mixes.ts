// The words about mixes that the server makes.

import type { MixResource } from "../api/schemas.generated";

export const MIXES_WORDS = {
  title: "Mixes",
  columns: ["Mix", "Made of", "Loudness", "Size", "Download"],
  keep: "Keep on the server",
  stemFile: "Make a stem file",
};

type Gains = Pick<MixResource, "gains_db" | "rest_db"> & Partial<Pick<MixResource, "format">>;

/** Says what a mix is made of: "the song, vocals left out, drums -3 dB". */
export function gainWords({ gains_db: gains, rest_db: rest, format }: Gains): string {
  if (format === "stem.mp4") return "the song, and its stems for DJ programs";
  const named = Object.entries(gains).map(([stem, gain]) => `${stem} ${gain === null ? "left out" : `${gain} dB`}`);
  return [...(rest === null ? [] : [rest ? `the song ${rest} dB` : "the song"]), ...named].join(", ");
}
