// Asking again and again, and waiting for a pause in typing.
import { useEffect, useRef } from "preact/hooks";

const HIDDEN_FACTOR = 10;

/**
 * Look at once, and again for as long as the component is shown. `look` returns after how many milliseconds to look again,
 * null for never; a hidden page waits ten times as long. A change of a key starts anew; `isCurrent` then says no.
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

/** A function that collects the parts it is given, and uses all of them once no more has come for a while. */
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
