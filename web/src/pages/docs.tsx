// The API's paths, from its own OpenAPI document; nothing is loaded from other hosts.
import { useEffect } from "preact/hooks";
import { Card } from "../parts/controls";
import { loadOpenapi, openapi } from "../spec";
import { DOCS } from "../texts/docs";
import { say } from "../texts/say";
import { SHARED } from "../texts/shared";

const METHODS = ["get", "post", "put", "delete"];

export function DocsPage() {
  useEffect(() => {
    document.title = "API · Stepline";
    void loadOpenapi().catch(() => undefined);
  }, []);
  const rooms = new Map<string, [string, string, string][]>();
  for (const [path, methods] of Object.entries(openapi.value?.paths ?? {})) {
    if (path.startsWith("/internal/")) continue;
    for (const method of METHODS) {
      const operation = methods[method];
      if (!operation) continue;
      const room = operation.tags?.[0] ?? "";
      rooms.set(room, [
        ...(rooms.get(room) ?? []),
        [method.toUpperCase(), path, (operation.description ?? operation.summary ?? "").replaceAll("`", "")],
      ]);
    }
  }
  return (
    <>
      <header class="page">
        <h1 class="grow">API</h1>
        <a class="button" href="/openapi.json">
          openapi.json
        </a>
      </header>
      <p class="note">{say(openapi.value ? DOCS.intro : SHARED.loading)}</p>
      {[...rooms].map(([room, operations]) => (
        <Card key={room} title={room}>
          <dl class="paths">
            {operations.map(([method, path, words]) => (
              <div key={method + path}>
                <dt>
                  <b>{method}</b> <code>{path}</code>
                </dt>
                <dd>{words}</dd>
              </div>
            ))}
          </dl>
        </Card>
      ))}
    </>
  );
}
