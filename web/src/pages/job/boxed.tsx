// Text formatted for a terminal, in cells: a Chinese character or an emoji takes two cells in any font, so that the box's
// right border is straight. Selecting and copying gives the plain text.

const WIDE =
  /^(?:[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Emoji_Presentation}|\p{Extended_Pictographic}\ufe0f)/u;
/** Characters that take one cell in every monospaced font: ASCII and box drawing. */
const PLAIN = /^[\x20-\x7e\n\u2500-\u257f]$/;

export function Boxed({ text, label }: { text: string; label: string }) {
  const signs = [...new Intl.Segmenter(undefined, { granularity: "grapheme" }).segment(text)].map((one) => one.segment);
  const parts: preact.ComponentChildren[] = [];
  let run = "";
  for (const sign of signs) {
    if (PLAIN.test(sign)) {
      run += sign;
      continue;
    }
    if (run) parts.push(run);
    run = "";
    parts.push(<span class={WIDE.test(sign) ? "cell wide" : "cell"}>{sign}</span>);
  }
  parts.push(run);
  return (
    <pre class="report" tabIndex={0} aria-label={label}>
      {parts}
    </pre>
  );
}
