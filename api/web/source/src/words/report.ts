// A job's report as sentences for somebody who has never heard of a residual.

import type { Report } from "../api/types";
import { formatDb, formatSpan, formatTime } from "./jobs";

/** Below this, what the stems leave out of the mixture is below what anybody hears beside it. */
const UNHEARD_DB = -50;

/** Whether all stems of the engine, played together, are the song again. */
export function sumsUp({ residual_db: residual }: Report): boolean {
  return residual === null || residual < UNHEARD_DB;
}

/** `complete` says whether the job has all stems that its engine makes. */
export function sentences(report: Report, engineTitle: string, complete: boolean): string[] {
  return [duration(report, engineTitle), loudness(report), ...(complete ? [rest(report)] : []), ...silences(report), ...report.notes];
}

function duration(report: Report, engineTitle: string): string {
  const seconds = Object.values(report.stems)[0]?.duration_seconds ?? 0;
  const what = report.excerpt
    ? `${formatSpan(seconds)} of the song, from ${formatTime(report.excerpt.start_seconds)} on,`
    : `${formatTime(seconds)} of music`;
  const faster = report.real_time_factor;
  const pace = faster >= 1.5 ? `, ${faster.toFixed(faster < 10 ? 1 : 0)} times faster than it plays` : "";
  return `${engineTitle} with the preset ${report.preset} took ${what} apart in ${formatSpan(report.seconds.total ?? 0)}${pace}.`;
}

function loudness(report: Report): string {
  const levels = Object.entries(report.stems)
    .filter(([, stem]) => stem.loudness_lufs !== null)
    .map(([name, stem]) => `the ${name} ${formatDb(stem.loudness_lufs, "LUFS")}`);
  if (report.mixture.loudness_lufs === null) return "The song is silent, or nearly so.";
  return `The song is ${formatDb(report.mixture.loudness_lufs, "LUFS")} loud${levels.length ? `, ${levels.join(", ")}` : ""}.`;
}

function rest(report: Report): string {
  if (sumsUp(report)) {
    return "Played together the stems give the song back: nothing that can be heard is left over.";
  }
  return `Some of the song is in no stem: what is left over lies ${formatDb(-report.residual_db!)} below it.`;
}

function silences(report: Report): string[] {
  return Object.entries(report.stems)
    .filter(([, stem]) => stem.silent)
    .map(([name]) => `The stem “${name}” is as good as silent: nothing of the kind was found.`);
}
