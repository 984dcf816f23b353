// Hooks with timers: polling, and waiting for a pause in typing.
import { useEffect, useRef } from "preact/hooks";

const HIDDEN_FACTOR = 10;

/**
 * Call `look` at once, and again until the component is removed. It returns the milliseconds until the next call, null for
 * none; a hidden page waits ten times as long. A changed key starts over, and `isCurrent` is false in the old calls.
 */
export function usePoll(look: (isCurrent: () => boolean) => Promise<number | null>, keys: unknown[]): void {
  useEffect(() => {
    let timer: number | undefined;
    let stopped = false;
    const round = async (): Promise<void> => {
      const wait = await look(() => !stopped);
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

/** Returns a function that merges the parts it gets, and passes them to `use` after a pause. */
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
