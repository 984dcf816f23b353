// The text entered into the form, kept in the browser until the tab is closed. A copy of each job has its own draft.
import type { Texts } from "./types";

export function loadDraft(from: string): Texts | null {
  try {
    return JSON.parse(sessionStorage.getItem(`draft ${from}`) ?? "null") as Texts | null;
  } catch {
    return null;
  }
}

export function saveDraft(from: string, texts: Texts | null): void {
  try {
    if (texts) sessionStorage.setItem(`draft ${from}`, JSON.stringify(texts));
    else sessionStorage.removeItem(`draft ${from}`);
  } catch {
    // The browser may block storage. The draft is then lost when the page is closed.
  }
}
