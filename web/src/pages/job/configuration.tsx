// A job's settings: first those that differ from the default. Until the defaults are loaded, all settings are in one list.
import type { Job } from "../../api";
import { asText, defaults, leaves, openapi, same, type Tree } from "../../spec";
import { NONE } from "../../format";
import { say } from "../../texts/say";
import { JOB } from "../../texts/job/job";
import { Card, CopyButton, Path } from "../../parts/controls";

export function Configuration({ job }: { job: Job }) {
  const known = openapi.value ? defaults(openapi.value) : null;
  const settings = [...leaves(job.spec as Tree)];
  return (
    <Card
      title={say(JOB.configuration)}
      aside={<CopyButton text={() => JSON.stringify(job.spec, null, 2)}>{say(JOB.copy_json)}</CopyButton>}
    >
      {known ? <Sorted settings={settings} known={known} /> : <Settings of={settings} />}
    </Card>
  );
}

type Settings = [path: string, value: unknown][];

function Sorted({ settings, known }: { settings: Settings; known: Map<string, unknown> }) {
  const isDefault = ([path, value]: Settings[number]): boolean => known.has(path) && same(known.get(path), value);
  const unchanged = settings.filter(isDefault);
  return (
    <>
      <h3>{say(JOB.changed)}</h3>
      <Settings of={settings.filter((one) => !isDefault(one))} class="changed" known={known} />
      <details>
        <summary>
          {say(JOB.unchanged)} ({unchanged.length})
        </summary>
        <Settings of={unchanged} />
      </details>
    </>
  );
}

function Settings({ of, class: name, known }: { of: Settings; class?: string; known?: Map<string, unknown> }) {
  return (
    <dl class={`settings ${name ?? ""}`}>
      {of.map(([path, value]) => (
        <Setting key={path} path={path} value={value} defaultValue={known?.get(path)} />
      ))}
    </dl>
  );
}

function Setting({ path, value, defaultValue }: { path: string; value: unknown; defaultValue?: unknown }) {
  return (
    <div>
      <dt>
        <Path of={path} />
      </dt>
      <dd>
        {asText(value)}
        {defaultValue !== undefined && asText(defaultValue) !== NONE && (
          <small> {say(JOB.default_is, { value: asText(defaultValue) })}</small>
        )}
      </dd>
    </div>
  );
}
