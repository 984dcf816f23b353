// Fills the window with a chart's card. While the chart fills the window, the rest of the page is inaccessible.
import type { RefObject } from "preact";
import { useEffect, useLayoutEffect, useState } from "preact/hooks";

const LEAST = 220;

/** Return the height of the main chart: `normal`, or the height that fills the window if `isFull`. */
export function useFullHeight(place: RefObject<HTMLElement | null>, isFull: boolean, normal: number): number {
  const [height, setHeight] = useState(normal);
  const fit = (): void => {
    const [card, plot] = [place.current?.firstElementChild, place.current?.querySelector(".plot")];
    if (!isFull || !card || !plot) return setHeight(normal);
    const around = Math.ceil(card.getBoundingClientRect().height) - plot.clientHeight;
    setHeight(Math.max(LEAST, innerHeight - around));
  };
  // After every render, because the legend may have become longer.
  useLayoutEffect(fit);
  useEffect(() => {
    addEventListener("resize", fit);
    return () => removeEventListener("resize", fit);
  });
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
  return height;
}
