// The view of a chart, which the URL stores: zoom, smoothing, scale, horizontal axis, hidden lines, full screen.
import { useKeys } from "../parts/controls";
import { query, setQuery } from "../router";
import { X_KINDS, type XKind } from "./scales/x-axis";

const SMOOTHING = 0.6;

export interface ChartView {
  smoothing: number;
  isLog: boolean;
  ignoresOutliers: boolean;
  x: XKind;
  /** The selected range; null shows everything. */
  range: { from: number; to: number } | null;
  hidden: ReadonlySet<string>;
  isFull: boolean;
  /** Whether the axis extends over the steps that are still to come; null leaves the choice to the page. */
  showsRest: boolean | null;
}

export interface ChartActions {
  smooth: (weight: number) => void;
  toggleLog: () => void;
  toggleOutliers: () => void;
  chooseX: (kind: XKind) => void;
  zoom: (range: [from: number, to: number] | null) => void;
  toggleLine: (key: string) => void;
  toggleFull: () => void;
  showRest: (shows: boolean) => void;
}

export function chartView(): ChartView {
  const get = (name: string): string | null => query.value.get(name);
  const [from, to] = [Number(get("from") ?? NaN), Number(get("to") ?? NaN)];
  const smoothing = get("smooth");
  const rest = get("rest");
  return {
    smoothing: smoothing === null ? SMOOTHING : Math.min(0.99, Math.max(0, Number(smoothing) || 0)),
    isLog: get("log") === "1",
    ignoresOutliers: get("outliers") === "0",
    x: X_KINDS.find((kind) => kind === get("x")) ?? "step",
    range: Number.isFinite(from) && Number.isFinite(to) && to > from ? { from, to } : null,
    hidden: new Set((get("hide") ?? "").split(",").filter(Boolean)),
    isFull: get("full") === "1",
    showsRest: rest === null ? null : rest === "1",
  };
}

/** Return the actions that change the view, and bind their keys. */
export function useChartActions(view: ChartView): ChartActions {
  const actions: ChartActions = {
    smooth: (weight) => setQuery({ smooth: weight === SMOOTHING ? null : String(weight) }),
    toggleLog: () => setQuery({ log: view.isLog ? null : "1" }),
    toggleOutliers: () => setQuery({ outliers: view.ignoresOutliers ? null : "0" }),
    chooseX: (kind) => setQuery({ x: kind === "step" ? null : kind }),
    zoom: (range) => setQuery({ from: range && String(range[0]), to: range && String(range[1]) }),
    toggleLine: (key) => {
      const hidden = new Set(view.hidden);
      if (!hidden.delete(key)) hidden.add(key);
      setQuery({ hide: [...hidden].join(",") });
    },
    toggleFull: () => setQuery({ full: view.isFull ? null : "1" }),
    showRest: (shows) => setQuery({ rest: shows ? "1" : "0" }),
  };
  useKeys({
    l: actions.toggleLog,
    w: () => actions.zoom(null),
    s: () => actions.smooth(view.smoothing === 0 ? SMOOTHING : 0),
    m: actions.toggleFull,
    ...(view.isFull ? { Escape: actions.toggleFull } : {}),
  });
  return actions;
}
