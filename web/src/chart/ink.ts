// Colors of the style sheet in a form that a canvas and an SVG file accept.

/** Return the current color of a CSS variable. */
export function ink(variable: string, opacity = 1): string {
  const probe = document.createElement("i");
  probe.style.color = `var(${variable})`;
  document.body.append(probe);
  const color = getComputedStyle(probe).color;
  probe.remove();
  return opacity === 1 ? color : color.replace(/rgba?\(([^,]+),([^,]+),([^,)]+).*/, `rgba($1,$2,$3,${opacity})`);
}
