// Numbers, times and sizes as text.

/** Formats a time in seconds as minutes and seconds, or as hours, minutes and seconds. */
export function formatTime(seconds: number): string {
  const whole = Math.floor(Math.max(0, seconds));
  const minutes = Math.floor(whole / 60);
  const rest = String(whole % 60).padStart(2, "0");
  if (minutes < 60) return `${minutes}:${rest}`;
  return `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${rest}`;
}

/** As `formatTime`, with tenths of a second: for the play head and loops. */
export function formatExactTime(seconds: number): string {
  const tenths = Math.round(Math.max(0, seconds) * 10);
  return `${formatTime(Math.floor(tenths / 10))}.${tenths % 10}`;
}

/** Formats a time in seconds so that screen readers read it well. */
export function spokenTime(seconds: number): string {
  const whole = Math.round(seconds);
  const minutes = Math.floor(whole / 60);
  const rest = plural(whole % 60, "second");
  return minutes ? `${plural(minutes, "minute")} ${rest}` : rest;
}

/** Formats a duration in seconds, rounded to what a reader needs. */
export function formatSpan(seconds: number): string {
  if (seconds < 1) return "a moment";
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  return `${Number((seconds / 3600).toFixed(1))} h`;
}

export function formatBytes(bytes: number): string {
  if (bytes < 1000) return `${bytes} bytes`;
  const units = ["kB", "MB", "GB"];
  let value = bytes;
  let unit = "";
  while (value >= 1000 && units.length) {
    value /= 1000;
    unit = units.shift()!;
  }
  return `${Number(value.toFixed(value < 10 ? 1 : 0))} ${unit}`;
}

/** Formats a level; null is digital silence. */
export function formatDb(value: number | null, unit = "dB"): string {
  return value === null ? "silent" : `${value.toFixed(1).replace("-", "−")} ${unit}`;
}

export function formatCount(count: number): string {
  return count.toLocaleString("en");
}

/** Formats a share from 0 to 1. It is rounded down: 100 % means that nothing is left to do. */
export function formatPercent(share: number): string {
  return `${Math.floor(share * 100)} %`;
}

export function formatFrequency(hz: number): string {
  return hz < 1000 ? `${hz} Hz` : `${hz / 1000} kHz`;
}

export function formatDate(moment: string): string {
  return new Date(moment).toLocaleDateString(undefined, { dateStyle: "long" });
}

/** Formats a count with its noun in the singular or plural. */
export function plural(count: number, noun: string): string {
  return `${formatCount(count)} ${noun}${count === 1 ? "" : "s"}`;
}

export function capitalised(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** Formats how long ago a moment was; after a day, its date. */
export function ago(moment: string): string {
  const seconds = (Date.now() - Date.parse(moment)) / 1000;
  if (seconds < 45) return "just now";
  if (seconds < 3600) return `${Math.max(1, Math.round(seconds / 60))} min ago`;
  if (seconds < 86_400) return `${Math.round(seconds / 3600)} h ago`;
  return new Date(moment).toLocaleDateString(undefined, { day: "numeric", month: "short", year: "numeric" });
}
