// A search box whose text is in the URL: it follows the URL unless it has the focus.
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { onText } from "./controls";

/** Wait this long after the last key before the URL changes. */
export const PAUSE_MS = 250;

interface Props {
  label: string;
  placeholder: string;
  value: string;
  change: (text: string) => void;
  title?: string;
  class?: string;
  isInvalid?: boolean;
  /** Receives a function that moves the focus to the box. */
  focus?: { current: () => void };
}

export function SearchBox({ label, placeholder, value, change, title, class: name, isInvalid, focus }: Props) {
  const box = useRef<HTMLInputElement>(null);
  useEffect(() => {
    if (box.current && document.activeElement !== box.current) box.current.value = value;
  }, [value]);
  if (focus) focus.current = () => box.current?.focus();
  return (
    <input
      ref={box}
      type="search"
      class={name}
      aria-label={label}
      aria-invalid={isInvalid || undefined}
      title={title}
      placeholder={placeholder}
      defaultValue={value}
      onInput={onText(change)}
    />
  );
}

export function SearchForm({ children }: { children: ComponentChildren }) {
  return (
    <form class="filters" role="search" onSubmit={(event) => event.preventDefault()}>
      {children}
    </form>
  );
}
