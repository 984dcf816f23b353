// Exposes the ranges of the page's charts to browser tests. Only a build in the mode "probed" calls these functions.
import type uPlot from "uplot";

type Place = HTMLElement & { plot?: uPlot };

export function watchPlot(place: Place, plot: uPlot): void {
  place.plot = plot;
}

export function exposeScales(): void {
  const scales = [...document.querySelectorAll<Place>(".plot")].map(({ plot }) => ({
    x: [plot?.scales.x!.min ?? 0, plot?.scales.x!.max ?? 0] as [number, number],
    y: [plot?.scales.y!.min ?? 0, plot?.scales.y!.max ?? 0] as [number, number],
  }));
  window.__stepline = { series: {}, ghosts: [], range: null, ...window.__stepline, scales };
}
