// What the API answers, as far as the page reads it; /v1/openapi.json tells all of it.

export type JobState = "queued" | "running" | "succeeded" | "failed" | "canceled";

export interface Output {
  name: string;
  url: string;
  filename: string;
  content_type: string;
  size_bytes: number;
}

export interface Stem extends Output {
  format: string;
  sample_rate_hz?: number;
  channels?: number;
  duration_seconds: number | null;
  peak_db: number | null;
  loudness_lufs: number | null;
  silent?: boolean;
}

/** A spectrogram without axes; what they are stands beside it. */
export interface Picture extends Output {
  range_db?: number;
  lowest_hz?: number;
  highest_hz?: number;
  start_seconds?: number;
  duration_seconds?: number;
}

export interface Excerpt {
  start_seconds: number;
  duration_seconds: number | null;
}

export interface Job {
  id: string;
  state: JobState;
  stage: string | null;
  progress: number;
  attempt: number;
  queue_position: number | null;
  eta_seconds: number | null;
  engine: string;
  preset: string | null;
  format: string;
  excerpt: Excerpt | null;
  source: {
    filename: string;
    size_bytes: number;
    upload_id: string | null;
    url: string;
    duration_seconds?: number | null;
    sample_rate_hz?: number | null;
    channels?: number | null;
  };
  stems: Stem[];
  pictures: Picture[];
  waveforms: Output[];
  report: Output | null;
  error: { code: string; message: string; retryable: boolean } | null;
  times: { created_at: string; started_at: string | null; finished_at: string | null };
  expires_at: string | null;
  links: Record<string, string>;
}

export interface JobPage {
  jobs: Job[];
  has_more: boolean;
  next_starting_after: string | null;
}

export interface Preset {
  name: string;
  description: string;
  scores: Record<string, number>;
  min_seconds: number;
  max_seconds: number | null;
}

export interface Engine {
  name: string;
  title: string;
  summary: string;
  stems: string[];
  presets: Preset[];
  default_preset: string;
  version: string;
}

export interface Engines {
  engines: Engine[];
  default_engine: string;
  formats: { name: string; bit_depths: number[]; bitrates_kbps: number[] | null }[];
  max_upload_bytes: number;
  max_audio_seconds: number;
}

export interface Levels {
  peak_db: number | null;
  loudness_lufs: number | null;
  silent: boolean;
}

export interface Report {
  engine: string;
  engine_version: string;
  preset: string;
  source: { codec?: string; sample_rate_hz?: number; channels?: number; duration_seconds: number | null };
  excerpt: { start_seconds: number; duration_seconds: number } | null;
  format: { name: string; bit_depth: number | null; bitrate_kbps: number | null; sample_rate_hz: number };
  mixture: Levels;
  stems: Record<string, Levels & { duration_seconds: number }>;
  residual_db: number | null;
  gain_db: number;
  notes: string[];
  seconds: Record<string, number>;
  real_time_factor: number;
  peak_memory_bytes: number;
}

export interface Waveform {
  sample_rate_hz: number;
  duration_seconds: number;
  samples_per_peak: number;
  full_scale: number;
  peaks: number[];
}

export function isActive(job: Job): boolean {
  return job.state === "queued" || job.state === "running";
}

export type BatchState = "reading" | "running" | "ended" | "canceled";
export type ItemState = "waiting" | "invalid" | JobState;

/** Jobs that were submitted together. */
export interface Batch {
  id: string;
  name: string | null;
  state: BatchState;
  total: number;
  counts: Record<ItemState, number>;
  audio_seconds: number;
  error: { code: string; message: string } | null;
  created_at: string;
  ended_at: string | null;
  links: { report_csv: string; report_jsonl: string; cancel: string | null; retry_failed: string | null };
}

export interface BatchPage {
  batches: Batch[];
  has_more: boolean;
  next_starting_after: string | null;
}

/** One track of a batch. */
export interface BatchItem {
  number: number;
  track: string;
  state: ItemState;
  job_id: string | null;
  error: { code: string; message: string } | null;
  duration_seconds: number | null;
}

export interface ItemPage {
  items: BatchItem[];
  has_more: boolean;
  next_starting_after: number | null;
}
