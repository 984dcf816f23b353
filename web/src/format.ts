// Formats numbers, times and sizes in the page's language.
import { language } from "./preferences";

export const NONE = "—";

/** Format a loss or a similar number with four decimals; use exponential notation if it is tiny. */
export function figure(value: number | null | undefined, digits = 4): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return NONE;
  if (value !== 0 && Math.abs(value) < 10 ** -digits * 10) return value.toExponential(2);
  return value.toFixed(Math.abs(value) >= 1000 ? 1 : digits);
}

/** Format the relative change of a loss: −14 %, on one line. */
export function percentChange(before: number, after: number): string {
  const percent = (100 * (after - before)) / before;
  if (!Number.isFinite(percent)) return NONE;
  const rounded = Math.abs(percent) < 1 ? percent.toFixed(1) : percent.toFixed(0);
  const size = rounded.replace("-", "");
  return `${Number(size) === 0 ? "±" : percent < 0 ? "−" : "+"}${size}\u00a0%`;
}

/** Format a fraction from 0 to 1: 61.3%. */
export function percent(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return NONE;
  return `${(100 * value).toFixed(1)}%`;
}

/** Format a learning rate: 2e-4 rather than 0.0002. */
export function rate(value: number | null | undefined, digits = 3): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return NONE;
  return value === 0 ? "0" : value.toExponential(digits - 1).replace(/\.?0+e/, "e");
}

export function count(value: number | null | undefined): string {
  if (value === null || value === undefined) return NONE;
  return value.toLocaleString(language.value === "zh" ? "zh-CN" : "en-US", { maximumFractionDigits: 0 });
}

/** Abbreviate a large number to three digits: 494M, 7.62B. */
export function compact(value: number): string {
  return value.toLocaleString("en-US", { notation: "compact", maximumSignificantDigits: 3 });
}

export function duration(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return NONE;
  const zh = language.value === "zh";
  const total = Math.max(0, Math.round(seconds));
  const [d, h, m, s] = [
    Math.floor(total / 86400),
    Math.floor(total / 3600) % 24,
    Math.floor(total / 60) % 60,
    total % 60,
  ];
  const units = zh ? [" 天 ", " 小时 ", " 分 ", " 秒"] : ["d ", "h ", "m ", "s"];
  if (d) return `${d}${units[0]}${h}${units[1]}`.trim();
  if (h) return `${h}${units[1]}${m}${units[2]}`.trim();
  if (m) return `${m}${units[2]}${s}${units[3]}`.trim();
  return `${s}${units[3]}`;
}

export function clock(at: Date | string | null | undefined, withSeconds = false): string {
  if (!at) return NONE;
  const date = typeof at === "string" ? new Date(at) : at;
  const today = date.toDateString() === new Date().toDateString();
  const time: Intl.DateTimeFormatOptions = { hour: "2-digit", minute: "2-digit", hour12: false };
  if (withSeconds) time.second = "2-digit";
  const options: Intl.DateTimeFormatOptions = today ? time : { month: "short", day: "numeric", ...time };
  return date.toLocaleString(language.value === "zh" ? "zh-CN" : "en-GB", options);
}

export function bytes(value: number | null | undefined): string {
  if (value === null || value === undefined) return NONE;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let size = value;
  let unit = 0;
  while (size >= 1024 && unit < units.length - 1) {
    size /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? size : size.toFixed(size < 10 ? 2 : 1)} ${units[unit]}`;
}

/** Abbreviate a step number: 12.5k, 1.2M. */
export function shortStep(step: number): string {
  const size = Math.abs(step);
  if (size >= 1_000_000) return `${+(step / 1_000_000).toFixed(2)}M`;
  return size >= 10_000 ? `${+(step / 1000).toFixed(1)}k` : String(step);
}

/** Format bytes for an axis tick, without trailing zeros. */
export function roundBytes(value: number): string {
  return bytes(value).replace(/\.0+ /, " ");
}

export function shortId(id: string): string {
  return id.length > 14 ? `${id.slice(0, 12)}…` : id;
}
