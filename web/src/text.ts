// Makes untrusted text safe to show: control characters, and characters that change the text direction, become escape sequences.
// A test compares the set of characters with the one in contracts/values/text.py.
const UNSAFE = /[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ud800-\udfff]/gu;
/** The same characters in JSON, which already escapes most of them. */
const IN_JSON = /[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f]|\\[bfu]/;

export function escape(text: string): string {
  return text.replace(UNSAFE, (found) => {
    const number = found.charCodeAt(0).toString(16);
    return number.length > 2 ? `\\u${number.padStart(4, "0")}` : `\\x${number.padStart(2, "0")}`;
  });
}

/** Parse an API response and escape its strings, so that they are safe to show. Newlines and tabs are kept. */
export function parse<T>(json: string): T {
  const value = JSON.parse(json) as unknown;
  return (IN_JSON.test(json) ? escapeAll(value) : value) as T;
}

function escapeAll(value: unknown): unknown {
  if (typeof value === "string") return escape(value);
  if (Array.isArray(value)) return value.map(escapeAll);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [escape(name), escapeAll(inner)]));
}

/** Isolate a string's text direction from the text around it, as `<bdi>` does for elements. */
export const isolate = (text: string): string => `\u2068${text}\u2069`;
