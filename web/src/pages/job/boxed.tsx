// Shows text formatted for a terminal in cells of equal width: a Chinese character or an emoji takes two cells in every font, so
// that the right border of the box is straight. Selecting and copying gives the plain text.

const DOUBLE_CELL =
  /^(?:[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Emoji_Presentation}|\p{Extended_Pictographic}\ufe0f)/u;
/** Characters that take one cell in every monospaced font: ASCII and box drawing. */
const SINGLE_CELL = /^[\x20-\x7e\n\u2500-\u257f]$/;

export function Boxed({ text, label }: { text: string; label: string }) {
  const graphemes = [...new Intl.Segmenter(undefined, { granularity: "grapheme" }).segment(text)].map(
    (one) => one.segment,
  );
  const parts: preact.ComponentChildren[] = [];
  let run = "";
  for (const grapheme of graphemes) {
    if (SINGLE_CELL.test(grapheme)) {
      run += grapheme;
      continue;
    }
    if (run) parts.push(run);
    run = "";
    parts.push(<span class={DOUBLE_CELL.test(grapheme) ? "cell wide" : "cell"}>{grapheme}</span>);
  }
  parts.push(run);
  return (
    <pre class="report" tabIndex={0} aria-label={label}>
      {parts}
    </pre>
  );
}
