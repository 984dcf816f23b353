// Reads labels from text.

/**
 * Return the labels of a text with one `key:value` per line, and the first line that is not one. The colon may be full-width, because
 * Chinese keyboards produce it.
 */
export function parseLabels(text: string): { labels: Record<string, string>; malformed: string | null } {
  const labels: Record<string, string> = {};
  for (const line of text.split("\n").map((one) => one.trim())) {
    if (!line) continue;
    const at = line.search(/[:：]/);
    if (at < 1) return { labels, malformed: line };
    labels[line.slice(0, at).trim()] = line.slice(at + 1).trim();
  }
  return { labels, malformed: null };
}
