// Figures and moments in words.

import { h } from "./dom.js";

export const NONE = "–";

export function number(value, digits = 3) {
  if (value === null || value === undefined || !Number.isFinite(value)) return NONE;
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e7 || size < 1e-4) return value.toExponential(digits - 1);
  if (size >= 1000) return Math.round(value).toLocaleString("en");
  return String(Number(value.toPrecision(digits)));
}

export const whole = (value) =>
  value === null || value === undefined ? NONE : Math.round(value).toLocaleString("en");

export function percent(value, digits = 1) {
  return value === null || value === undefined ? NONE : `${(100 * value).toFixed(digits)}%`;
}

export const milliseconds = (value) => (value === null || value === undefined ? NONE : `${number(value)} ms`);

// A figure and below it its interval.
export const bounded = (measured, digits = 3) =>
  measured
    ? [
        measured.value.toFixed(digits),
        h("span", { class: "span" }, ` ${measured.low.toFixed(digits)} to ${measured.high.toFixed(digits)}`),
      ]
    : NONE;

export const pValue = (value) =>
  value === null || value === undefined ? NONE : value < 0.0001 ? "< 0.0001" : value.toFixed(4);

const two = (n) => String(n).padStart(2, "0");

export function moment(text, seconds = false) {
  if (!text) return NONE;
  const date = new Date(text);
  if (Number.isNaN(date.getTime())) return String(text).slice(0, 40);
  const day = `${date.getUTCFullYear()}-${two(date.getUTCMonth() + 1)}-${two(date.getUTCDate())}`;
  const time = `${two(date.getUTCHours())}:${two(date.getUTCMinutes())}${seconds ? `:${two(date.getUTCSeconds())}` : ""}`;
  return `${day} ${time} UTC`;
}

export function ago(text, now = Date.now()) {
  if (!text) return NONE;
  const seconds = Math.max(0, (now - new Date(text).getTime()) / 1000);
  return seconds < 60 ? "just now" : `${duration(seconds)} ago`;
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return NONE;
  const units = [
    ["d", 86400],
    ["h", 3600],
    ["min", 60],
    ["s", 1],
  ];
  const [name, size] = units.find(([, unit]) => seconds >= 2 * unit) ?? units[3];
  return `${number(Math.round((10 * seconds) / size) / 10, 3)} ${name}`;
}

export function bytes(n) {
  if (n === null || n === undefined) return NONE;
  const [name, size] = [
    ["GB", 1e9],
    ["MB", 1e6],
    ["kB", 1e3],
    ["B", 1],
  ].find(([, unit]) => n >= unit) ?? ["B", 1];
  return `${number(n / size)} ${name}`;
}

export const plural = (n, one, many = `${one}s`) => `${whole(n)} ${n === 1 ? one : many}`;
