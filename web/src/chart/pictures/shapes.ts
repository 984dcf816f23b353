// A picture as a list of shapes, which becomes an SVG file or is drawn on a canvas. The content security policy prevents the
// page from converting one into the other.

export type Shape =
  | { kind: "path"; points: [number, number][][]; stroke?: string; fill?: string; width?: number; dash?: number[] }
  | { kind: "box"; x: number; y: number; width: number; height: number; fill: string }
  | { kind: "dot"; x: number; y: number; radius: number; fill: string; stroke: string }
  | { kind: "text"; x: number; y: number; text: string; size: number; fill: string; anchor?: Anchor; bold?: boolean };

type Anchor = "start" | "middle" | "end";

export interface Picture {
  width: number;
  height: number;
  font: string;
  background: string;
  /** The shapes within `frame` are clipped at its edges; the others are drawn over them. */
  frame: { x: number; y: number; width: number; height: number };
  inside: Shape[];
  outside: Shape[];
}

const round = (value: number): number => Math.round(value * 100) / 100;
const escape = (text: string): string =>
  text.replace(/[&<>"]/g, (one) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[one]!);

export function toSvg({ width, height, font, background, frame, inside, outside }: Picture): string {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}"`,
    ` font-family="${escape(font)}"><rect width="100%" height="100%" fill="${background}"/>`,
    `<clipPath id="frame"><rect x="${frame.x}" y="${frame.y}" width="${frame.width}" height="${frame.height}"/></clipPath>`,
    `<g clip-path="url(#frame)">${inside.map(element).join("\n")}</g>\n${outside.map(element).join("\n")}</svg>\n`,
  ].join("");
}

function element(shape: Shape): string {
  switch (shape.kind) {
    case "path": {
      const d = shape.points.map((part) => `M${part.map(([x, y]) => `${round(x)} ${round(y)}`).join("L")}`).join("");
      const dash = shape.dash ? ` stroke-dasharray="${shape.dash.join(" ")}"` : "";
      const stroke = shape.stroke ? ` stroke="${shape.stroke}" stroke-width="${shape.width ?? 1}"${dash}` : "";
      return `<path d="${d}" fill="${shape.fill ?? "none"}"${stroke}/>`;
    }
    case "box":
      return `<rect x="${round(shape.x)}" y="${round(shape.y)}" width="${round(shape.width)}" height="${round(shape.height)}" fill="${shape.fill}"/>`;
    case "dot":
      return `<circle cx="${round(shape.x)}" cy="${round(shape.y)}" r="${shape.radius}" fill="${shape.fill}" stroke="${shape.stroke}"/>`;
    case "text": {
      const weight = shape.bold ? ' font-weight="600"' : "";
      return `<text x="${round(shape.x)}" y="${round(shape.y)}" font-size="${shape.size}" fill="${shape.fill}" text-anchor="${shape.anchor ?? "start"}"${weight}>${escape(shape.text)}</text>`;
    }
  }
}

/** Draw a picture on a new canvas; `scale` is the number of pixels per unit. */
export function toCanvas(picture: Picture, scale: number): HTMLCanvasElement {
  const canvas = document.createElement("canvas");
  canvas.width = picture.width * scale;
  canvas.height = picture.height * scale;
  const pen = canvas.getContext("2d")!;
  pen.scale(scale, scale);
  pen.fillStyle = picture.background;
  pen.fillRect(0, 0, picture.width, picture.height);
  const { frame } = picture;
  pen.save();
  pen.beginPath();
  pen.rect(frame.x, frame.y, frame.width, frame.height);
  pen.clip();
  for (const shape of picture.inside) draw(pen, shape, picture.font);
  pen.restore();
  for (const shape of picture.outside) draw(pen, shape, picture.font);
  return canvas;
}

function draw(pen: CanvasRenderingContext2D, shape: Shape, font: string): void {
  pen.beginPath();
  if (shape.kind === "box") {
    pen.fillStyle = shape.fill;
    pen.fillRect(shape.x, shape.y, shape.width, shape.height);
  } else if (shape.kind === "text") {
    pen.font = `${shape.bold ? "600 " : ""}${shape.size}px ${font}`;
    pen.fillStyle = shape.fill;
    pen.textAlign = ({ start: "left", middle: "center", end: "right" } as const)[shape.anchor ?? "start"];
    pen.fillText(shape.text, shape.x, shape.y);
  } else {
    if (shape.kind === "dot") pen.arc(shape.x, shape.y, shape.radius, 0, 2 * Math.PI);
    else for (const part of shape.points) part.forEach(([x, y], at) => (at ? pen.lineTo(x, y) : pen.moveTo(x, y)));
    if (shape.fill) {
      pen.fillStyle = shape.fill;
      pen.fill();
    }
    if (shape.stroke) {
      pen.strokeStyle = shape.stroke;
      pen.lineWidth = (shape.kind === "path" && shape.width) || 1;
      pen.setLineDash((shape.kind === "path" && shape.dash) || []);
      pen.stroke();
    }
  }
}
