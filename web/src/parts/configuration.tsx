// A job's settings: what differs from the default first, the rest below.
import type { Job } from "../api";
import { asText, defaults, leaves, openapi, same, type Tree } from "../spec";
import { NONE } from "../format";
import { say } from "../words";
import { Card, CopyButton, Path } from "./controls";

export function Configuration({ job }: { job: Job }) {
  const known = openapi.value ? defaults(openapi.value) : null;
  const settings = [...leaves(job.spec as Tree)];
  const changed = settings.filter(([path, value]) => !known?.has(path) || !same(known.get(path), value));
  const others = settings.filter(([path, value]) => known?.has(path) && same(known.get(path), value));
  return (
    <Card title={say("configuration")} aside={<CopyButton text={() => JSON.stringify(job.spec, null, 2)}>{say("copy_json")}</CopyButton>}>
      <h3>{say("changed")}</h3>
      <dl class="settings changed">
        {changed.map(([path, value]) => (
          <Setting key={path} path={path} value={value} usual={known?.get(path)} />
        ))}
      </dl>
      <details>
        <summary>
          {say("unchanged")} ({others.length})
        </summary>
        <dl class="settings">
          {others.map(([path, value]) => (
            <Setting key={path} path={path} value={value} />
          ))}
        </dl>
      </details>
    </Card>
  );
}

function Setting({ path, value, usual }: { path: string; value: unknown; usual?: unknown }) {
  return (
    <div>
      <dt>
        <Path of={path} />
      </dt>
      <dd>
        {asText(value)}
        {usual !== undefined && asText(usual) !== NONE && <small> {say("default_is", { value: asText(usual) })}</small>}
      </dd>
    </div>
  );
}
