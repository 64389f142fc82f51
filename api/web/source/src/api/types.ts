// The API's responses under the page's own short names. Their fields come from the OpenAPI document, by way of
// schemas.generated.ts: a field that the API renames or removes makes `npm run check` fail where the page uses it.
//
// Below stand the few things that the document does not describe: extra fields of stems and pictures, and JSON files.

import type {
  BatchListResource,
  BatchResource,
  EngineResource,
  EnginesResource,
  ItemListResource,
  ItemResource,
  JobListResource,
  JobResource,
  OutputResource,
  PresetResource,
  StemResource,
  UploadResource,
} from "./schemas.generated";

export type { BatchState, Excerpt, ItemState, JobState } from "./schemas.generated";

export type Output = OutputResource;
export type Preset = PresetResource;
export type Engine = EngineResource;
export type Engines = EnginesResource;
export type Upload = UploadResource;
export type Batch = BatchResource;
export type BatchPage = BatchListResource;
export type BatchItem = ItemResource;
export type ItemPage = ItemListResource;

export interface Stem extends StemResource {
  sample_rate_hz?: number;
  channels?: number;
  silent?: boolean;
}

/** A spectrogram without axes, and what its axes are. */
export interface Picture extends Output {
  range_db?: number;
  lowest_hz?: number;
  highest_hz?: number;
  start_seconds?: number;
  duration_seconds?: number;
}

export interface Job extends JobResource {
  stems: Stem[];
  pictures: Picture[];
}

export interface JobPage extends JobListResource {
  jobs: Job[];
}

export function isActive(job: Job): boolean {
  return job.state === "queued" || job.state === "running";
}

export function isBatchActive({ state, counts }: Batch): boolean {
  return state === "reading" || state === "running" || counts.queued + counts.running > 0;
}

/** Returns how many items of a batch have ended, well or badly. */
export function endedItems({ counts }: Batch): number {
  return counts.succeeded + counts.failed + counts.canceled + counts.invalid;
}

/** The file `beats.json`: seconds on the song's timeline, on which the stems begin at `start_seconds`. */
export interface BeatsFile {
  beats: number[];
  start_seconds: number;
}

export interface Levels {
  peak_db: number | null;
  loudness_lufs: number | null;
  silent: boolean;
}

/** The file `report.json` of a job. */
/** A report without `stems` is that of a job that mixed the stems of another one; it has no `engine` or `mixture`. */
export interface Report {
  engine: string;
  engine_version: string;
  preset: string;
  source: { codec?: string; sample_rate_hz?: number; channels?: number; duration_seconds: number | null };
  excerpt: { start_seconds: number; duration_seconds: number } | null;
  format: { name: string; bit_depth: number | null; bitrate_kbps: number | null; sample_rate_hz: number };
  mixture: Levels;
  stems?: Record<string, Levels & { duration_seconds: number }>;
  mixes?: Record<string, Levels & { duration_seconds: number }>;
  residual_db: number | null;
  music?: { tempo_bpm: number | null; key: string | null } | null;
  gain_db: number;
  notes: string[];
  seconds: Record<string, number>;
  real_time_factor: number;
  peak_memory_bytes: number;
}

/** The outline of a stem, as pairs of its lowest and highest samples. */
export interface Waveform {
  sample_rate_hz: number;
  duration_seconds: number;
  samples_per_peak: number;
  full_scale: number;
  peaks: number[];
}
