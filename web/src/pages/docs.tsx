// The API's endpoints, from its OpenAPI document. Nothing is loaded from other hosts.
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
  const groups = new Map<string, [string, string, string][]>();
  for (const [path, methods] of Object.entries(openapi.value?.paths ?? {})) {
    if (path.startsWith("/internal/")) continue;
    for (const method of METHODS) {
      const operation = methods[method];
      if (!operation) continue;
      const group = operation.tags?.[0] ?? "";
      groups.set(group, [
        ...(groups.get(group) ?? []),
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
      {[...groups].map(([group, operations]) => (
        <Card key={group} title={group}>
          <dl class="paths">
            {operations.map(([method, path, description]) => (
              <div key={method + path}>
                <dt>
                  <b>{method}</b> <code>{path}</code>
                </dt>
                <dd>{description}</dd>
              </div>
            ))}
          </dl>
        </Card>
      ))}
    </>
  );
}
