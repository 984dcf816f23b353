// Hooks with timers: polling and debouncing.
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";

const HIDDEN_FACTOR = 10;

/**
 * Call `poll` immediately and then repeatedly until the component is removed. `poll` returns the milliseconds until the next call,
 * or null to stop; a hidden page waits ten times as long. If a key changes, polling starts over, and `isCurrent` becomes false for
 * the earlier calls.
 */
export function usePoll(poll: (isCurrent: () => boolean) => Promise<number | null>, keys: unknown[]): void {
  // A layout effect, because a plain effect would send the first request a frame later.
  useLayoutEffect(() => {
    let timer: number | undefined;
    let stopped = false;
    const round = async (): Promise<void> => {
      const wait = await poll(() => !stopped);
      if (stopped || wait === null) return;
      timer = window.setTimeout(() => void round(), document.hidden ? wait * HIDDEN_FACTOR : wait);
    };
    void round();
    return () => {
      stopped = true;
      clearTimeout(timer);
    };
  }, keys);
}

/** Return a function that merges its arguments, and passes them to `use` once it has not been called for `pauseMs`. */
export function useDebounced<T extends object>(
  use: (all: Partial<T>) => void,
  pauseMs: number,
): (part: Partial<T>) => void {
  const held = useRef<{ all: Partial<T>; timer: number | undefined }>({ all: {}, timer: undefined });
  const latest = useRef(use);
  latest.current = use;
  useEffect(() => () => clearTimeout(held.current.timer), []);
  return (part) => {
    Object.assign(held.current.all, part);
    clearTimeout(held.current.timer);
    held.current.timer = window.setTimeout(() => {
      latest.current(held.current.all);
      held.current.all = {};
    }, pauseMs);
  };
}
