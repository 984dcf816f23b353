// The reference of the whole API, from its OpenAPI document. Nothing is loaded from other hosts.
import { useEffect, useRef, useState } from "preact/hooks";
import { isDark } from "../preferences";
import { loadOpenapi, type Document } from "../spec";
import { DOCS } from "../texts/docs";
import { say } from "../texts/say";
import { SHARED } from "../texts/shared";

/** A class of the root element that makes Swagger UI use its dark colors. */
const DARK = "dark-mode";

export function DocsPage() {
  const reference = useRef<HTMLDivElement>(null);
  const [state, setState] = useState<"loading" | "shown" | "failed">("loading");
  useEffect(() => {
    document.title = "API · Stepline";
    void Promise.all([loadOpenapi(), import("../reference/swagger")])
      .then(([found, { drawReference }]) => {
        if (!reference.current) return;
        drawReference(reference.current, withoutInternal(found));
        setState("shown");
      })
      .catch(() => setState("failed"));
    return () => document.documentElement.classList.remove(DARK);
  }, []);
  useEffect(() => void document.documentElement.classList.toggle(DARK, isDark.value), [isDark.value]);
  return (
    <>
      <header class="page">
        <h1 class="grow">API</h1>
        <a class="button" href="/openapi.json">
          openapi.json
        </a>
      </header>
      <p class="note">{say({ loading: SHARED.loading, shown: DOCS.intro, failed: DOCS.failed }[state])}</p>
      <div class="reference" ref={reference} />
    </>
  );
}

/** Return the document without the endpoints that only workers use. */
function withoutInternal(document: Document): Document {
  const paths = Object.entries(document.paths).filter(([path]) => !path.startsWith("/internal/"));
  return { ...document, paths: Object.fromEntries(paths) };
}
