// Fills the window with a chart's card. The rest of the page cannot be reached meanwhile.
import type { RefObject } from "preact";
import { useEffect, useState } from "preact/hooks";

/** Height of the controls, the legend and the notes around the chart. */
const AROUND = 210;
const LEAST = 220;

/** Return the height of the main chart: `normal`, or what fills the window if `isFull`. */
export function useFullHeight(place: RefObject<HTMLElement | null>, isFull: boolean, normal: number): number {
  const [windowHeight, setHeight] = useState(innerHeight);
  useEffect(() => {
    const onResize = (): void => setHeight(innerHeight);
    addEventListener("resize", onResize);
    return () => removeEventListener("resize", onResize);
  }, []);
  useEffect(() => {
    if (!isFull) return;
    const others: Element[] = [];
    for (let at: Element | null = place.current; at && at !== document.body; at = at.parentElement)
      others.push(...[...(at.parentElement?.children ?? [])].filter((one) => one !== at && !one.hasAttribute("inert")));
    others.forEach((one) => one.setAttribute("inert", ""));
    document.body.classList.add("covered");
    return () => {
      others.forEach((one) => one.removeAttribute("inert"));
      document.body.classList.remove("covered");
    };
  }, [isFull]);
  return isFull ? Math.max(LEAST, windowHeight - AROUND) : normal;
}
