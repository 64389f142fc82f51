// The API's responses by its OpenAPI document. Written by `python -m tests.unit.api.contract.test_page_schemas`; do not edit.

export interface BatchLinksResource {
  self: string;
  items: string;
  report_csv: string;
  report_jsonl: string;
  cancel: string | null;
  retry_failed: string | null;
  rerun: string | null;
}

export interface BatchListResource {
  batches: BatchResource[];
  has_more: boolean;
  next_starting_after: string | null;
}

export interface BatchResource {
  id: string;
  name: string | null;
  state: BatchState;
  priority: string;
  total: number;
  counts: CountsResource;
  left_out: LeftOutResource[];
  audio_seconds: number;
  error: ItemErrorResource | null;
  rerun_checked: number | null;
  created_at: string;
  ended_at: string | null;
  expires_at: string | null;
  webhook_url: string | null;
  links: BatchLinksResource;
}

export type BatchState = "reading" | "running" | "ended" | "canceled";

export interface CountsResource {
  waiting: number;
  queued: number;
  running: number;
  succeeded: number;
  failed: number;
  canceled: number;
  invalid: number;
}

export interface EngineResource {
  name: string;
  version: string;
  title: string;
  summary: string;
  stems: string[];
  derived_stems: string[];
  presets: PresetResource[];
  default_preset: string;
  parameters: ParameterResource[];
  author: string;
  licence: string;
  licence_source: string;
  scores_from: string;
  precision: string;
  passes: number;
  context_seconds: number;
  real_time_factor: number | null;
  memory_bytes: number | null;
  waiting_for: string | null;
}

export interface EnginesResource {
  engines: EngineResource[];
  default_engine: string;
  formats: FormatResource[];
  max_upload_bytes: number;
  max_audio_seconds: number;
}

export interface ErrorResource {
  code: string;
  message: string;
  retryable: boolean;
  attempt: number | null;
}

export interface Excerpt {
  start_seconds: number;
  duration_seconds: number | null;
}

export interface FormatResource {
  name: string;
  extension: string;
  content_type: string;
  bit_depths: number[];
  bitrates_kbps: number[] | null;
  needed_stems: string[];
}

export interface ItemErrorResource {
  code: string;
  message: string;
}

export interface ItemListResource {
  items: ItemResource[];
  has_more: boolean;
  next_starting_after: number | null;
}

export interface ItemOutputResource {
  name: string;
  url: string;
}

export interface ItemResource {
  number: number;
  line: number;
  track: string;
  state: ItemState;
  job_id: string | null;
  error: ItemErrorResource | null;
  attempts: number;
  duration_seconds: number | null;
  seconds: number | null;
  real_time_factor: number | null;
  input_sha256: string | null;
  engine: string | null;
  engine_version: string | null;
  cached: boolean;
  tempo_bpm: number | null;
  key: string | null;
  notes?: string[];
  outputs: ItemOutputResource[];
  exported: string[];
}

export type ItemState = "waiting" | "queued" | "running" | "succeeded" | "failed" | "canceled" | "invalid";

export interface JobListResource {
  jobs: JobResource[];
  has_more: boolean;
  next_starting_after: string | null;
}

export interface JobResource {
  id: string;
  state: JobState;
  stage: string | null;
  progress: number;
  attempt: number;
  queue_position: number | null;
  eta_seconds: number | null;
  waiting_for: "storage" | "engine" | "source" | null;
  waiting_because: string | null;
  engine: string;
  preset: string | null;
  parameters: Record<string, number | string>;
  stems_wanted: string[] | null;
  mixes_wanted: MixMembers[];
  format: string;
  format_options: Record<string, number>;
  excerpt: Excerpt | null;
  priority: "interactive" | "bulk";
  source: SourceResource;
  stems: StemResource[];
  mixes: MixResource[];
  pictures: OutputResource[];
  waveforms: OutputResource[];
  music: MusicResource | null;
  beats: OutputResource | null;
  report: OutputResource | null;
  error: ErrorResource | null;
  attempt_errors: ErrorResource[];
  times: TimesResource;
  expires_at: string | null;
  batch_id: string | null;
  cached: boolean;
  metadata: Record<string, unknown>;
  then: NextJobResource[];
  links: Record<string, string>;
}

export type JobState = "queued" | "running" | "succeeded" | "failed" | "canceled";

export interface LeftOutResource {
  reason: string;
  count: number;
  examples: string[];
}

export interface MixMembers {
  name: string;
  gains_db: Record<string, number | null>;
  rest_db: number | null;
}

export interface MixResource {
  kind: "stem" | "mix" | "picture" | "waveform" | "beats" | "report";
  name: string;
  url: string;
  filename: string;
  content_type: string;
  size_bytes: number;
  sha256: string;
  format: string;
  duration_seconds: number | null;
  peak_db: number | null;
  loudness_lufs: number | null;
  gains_db: Record<string, number | null>;
  rest_db: number | null;
}

export interface MusicResource {
  tempo_bpm: number | null;
  tempo_confidence: number | null;
  beats_count: number;
  key: string | null;
  key_confidence: number | null;
}

export interface NextJobResource {
  job_id: string;
  output: string;
}

export interface OutputResource {
  kind: "stem" | "mix" | "picture" | "waveform" | "beats" | "report";
  name: string;
  url: string;
  filename: string;
  content_type: string;
  size_bytes: number;
  sha256: string;
}

export interface ParameterResource {
  name: string;
  kind: "number" | "integer" | "choice";
  description: string;
  minimum: number | null;
  maximum: number | null;
  choices: string[];
}

export interface PresetResource {
  name: string;
  description: string;
  parameters: Record<string, unknown>;
  scores: Record<string, number>;
  min_seconds: number;
  max_seconds: number | null;
}

export interface SourceResource {
  filename: string;
  size_bytes: number;
  sha256: string | null;
  upload_id: string | null;
  url: string;
  job_id: string | null;
  output: string | null;
  duration_seconds: number | null;
  sample_rate_hz: number | null;
  channels: number | null;
}

export interface StemResource {
  kind: "stem" | "mix" | "picture" | "waveform" | "beats" | "report";
  name: string;
  url: string;
  filename: string;
  content_type: string;
  size_bytes: number;
  sha256: string;
  format: string;
  duration_seconds: number | null;
  peak_db: number | null;
  loudness_lufs: number | null;
}

export interface TimesResource {
  created_at: string;
  started_at: string | null;
  finished_at: string | null;
}

export interface UploadResource {
  upload_id: string;
  filename: string;
  size_bytes: number;
  sha256: string;
}
