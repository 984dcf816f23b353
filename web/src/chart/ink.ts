// Colors of the style sheet in a form that a canvas and an SVG file accept.
import { isDark } from "../preferences";

/** The colors read so far in one theme. Reading a color makes the browser compute the styles of the page. */
let known = { isDark: false, colors: new Map<string, string>() };

/** Return the current color of a CSS variable. */
export function ink(variable: string, opacity = 1): string {
  if (known.isDark !== isDark.peek()) known = { isDark: isDark.peek(), colors: new Map() };
  const color = known.colors.get(variable) ?? read(variable);
  known.colors.set(variable, color);
  return opacity === 1 ? color : color.replace(/rgba?\(([^,]+),([^,]+),([^,)]+).*/, `rgba($1,$2,$3,${opacity})`);
}

function read(variable: string): string {
  const probe = document.createElement("i");
  probe.style.color = `var(${variable})`;
  document.body.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}
