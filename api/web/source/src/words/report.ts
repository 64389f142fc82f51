// A job's report in sentences, for readers who do not know the technical terms, and in a table for those who do.

import type { Job, Report } from "../api/types";
import { ago, formatBytes, formatDate, formatDb, formatSpan, formatTime } from "./numbers";

export const REPORT_WORDS = {
  title: "Report",
  levels: "Levels of the stems",
  columns: ["Stem", "Loudness", "Peak", "Size"],
  details: "Technical details",
};

/** If the difference between the song and the sum of its stems is below this level, nobody can hear it. */
const INAUDIBLE_DB = -50;

/** The report mentions the speed only if it is at least this. */
const MIN_SPEED = 1.5;

/** Whether all stems of the engine, played together, are the song again. */
export function stemsAddUp({ residual_db: residual }: Report): boolean {
  return residual === null || residual < INAUDIBLE_DB;
}

/** Returns the report's sentences; `hasAllStems` says whether the job has all stems that its engine makes. */
export function reportSentences(report: Report, engineTitle: string, hasAllStems: boolean): string[] {
  // The job separated nothing: it mixed the stems of another job.
  if (!report.stems) return report.notes;
  return [
    durationSentence(report, engineTitle),
    loudnessSentence(report),
    ...musicSentences(report),
    ...(hasAllStems ? [remainderSentence(report)] : []),
    ...silenceSentences(report),
    ...report.notes,
  ];
}

function durationSentence(report: Report, engineTitle: string): string {
  const seconds = Object.values({ ...report.stems, ...report.mixes })[0]?.duration_seconds ?? 0;
  const part = report.excerpt
    ? `${formatSpan(seconds)} of the song from ${formatTime(report.excerpt.start_seconds)}`
    : `${formatTime(seconds)} of music`;
  const speed = report.real_time_factor;
  const pace = speed >= MIN_SPEED ? `, ${speed.toFixed(speed < 10 ? 1 : 0)} times faster than it plays` : "";
  return `${engineTitle} with the preset ${report.preset} separated ${part} in ${formatSpan(report.seconds.total ?? 0)}${pace}.`;
}

function loudnessSentence(report: Report): string {
  if (report.mixture.loudness_lufs === null) return "The song is silent, or nearly so.";
  const levels = Object.entries(report.stems ?? {})
    .filter(([, stem]) => stem.loudness_lufs !== null)
    .map(([name, stem]) => `${name} ${formatDb(stem.loudness_lufs, "LUFS")}`);
  return `The song's loudness is ${[formatDb(report.mixture.loudness_lufs, "LUFS"), ...levels].join(", ")}.`;
}

/** Says tempo and key, if the worker is sure of them. */
function musicSentences({ music }: Report): string[] {
  const tempo = music?.tempo_bpm && `tempo is ${music.tempo_bpm.toFixed(1)} BPM`;
  const key = music?.key && `key is ${music.key}`;
  const found = [tempo, key].filter(Boolean);
  return found.length ? [`Its ${found.join(", its ")}.`] : [];
}

function remainderSentence(report: Report): string {
  if (stemsAddUp(report)) return "Played together, the stems add up to the song: nothing audible is missing.";
  const louder = report.residual_db!;
  const difference = louder > 0 ? `${formatDb(louder)} louder` : `${formatDb(-louder)} quieter`;
  return `The stems do not contain the whole song. The missing part is ${difference} than the song.`;
}

function silenceSentences(report: Report): string[] {
  return Object.entries(report.stems ?? {})
    .filter(([, stem]) => stem.silent)
    .map(([name]) => `The stem “${name}” is nearly silent. The song probably has no ${name}.`);
}

const engineRow = (report: Report): [string, string] => [
  "Engine",
  `${report.engine}, version ${report.engine_version}, preset ${report.preset}`,
];

/** Returns the rows of the technical details, each as a term and its value. */
export function detailRows(report: Report): [term: string, value: string][] {
  const { codec, sample_rate_hz: rate } = report.source;
  return [
    ...(report.engine ? [engineRow(report)] : []),
    ["Original", [codec, rate && `${rate} Hz`].filter(Boolean).join(", ")],
    ["Peak memory", formatBytes(report.peak_memory_bytes)],
    ["Time", stageTimes(report)],
  ];
}

function stageTimes(report: Report): string {
  const stages = Object.entries(report.seconds).filter(([stage]) => stage !== "total");
  return stages.map(([stage, seconds]) => `${stage} ${seconds.toFixed(1)} s`).join(", ");
}

/** Says when a job was created and when it will be deleted; null if it is kept. */
export function expirySentences(job: Job): string | null {
  if (!job.expires_at) return null;
  return `Created ${ago(job.times.created_at)}. The song and its stems will be deleted on ${formatDate(job.expires_at)}.`;
}
