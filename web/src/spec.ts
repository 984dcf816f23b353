// Compares a JobSpec with its defaults, and formats it as text and as a curl command. Fields, defaults, ranges and help come
// only from the API's JSON schema.
import { signal } from "@preact/signals";
import { getWithRetries } from "./api";
import { NONE } from "./format";

export interface Schema {
  type?: string;
  title?: string;
  description?: string;
  default?: unknown;
  enum?: unknown[];
  const?: unknown;
  anyOf?: Schema[];
  oneOf?: Schema[];
  items?: Schema;
  properties?: Record<string, Schema>;
  required?: string[];
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number;
  exclusiveMaximum?: number;
  pattern?: string;
  maxLength?: number;
  $ref?: string;
}

export interface Document {
  paths: Record<string, Record<string, { summary?: string; description?: string; tags?: string[] }>>;
  components: { schemas: Record<string, Schema> };
}

export const openapi = signal<Document | null>(null);

let loading: Promise<Document> | null = null;

/** Load the OpenAPI document once for all pages; retry until the server is reachable. */
export function loadOpenapi(): Promise<Document> {
  if (openapi.value) return Promise.resolve(openapi.value);
  loading ??= getWithRetries<Document>("/openapi.json")
    .then((document) => (openapi.value = document))
    .finally(() => (loading = null));
  return loading;
}

export type Tree = { [name: string]: unknown };

const isTree = (value: unknown): value is Tree => typeof value === "object" && value !== null && !Array.isArray(value);

/** Return a schema with its reference resolved. */
export function resolve(document: Document, schema: Schema): Schema {
  const name = schema.$ref?.split("/").pop();
  return name ? { ...document.components.schemas[name], ...schema, $ref: undefined } : schema;
}

/** Return every default of the JobSpec by dotted path. */
export function defaults(document: Document): Map<string, unknown> {
  const found = new Map<string, unknown>();
  const walk = (schema: Schema, prefix: string): void => {
    for (const [name, field] of Object.entries(schema.properties ?? {})) {
      const whole = resolve(document, field);
      if (whole.properties) walk(whole, `${prefix}${name}.`);
      else if ("default" in field) found.set(prefix + name, field.default);
      else if (field.anyOf?.some((one) => one.type === "null")) found.set(prefix + name, null);
    }
  };
  walk(document.components.schemas.JobSpec!, "");
  return found;
}

/** Return the leaves of a spec by dotted path. A Hub dataset, the labels and early stopping each count as one leaf. */
export function leaves(spec: Tree, prefix = ""): Map<string, unknown> {
  const found = new Map<string, unknown>();
  for (const [name, value] of Object.entries(spec)) {
    const path = prefix + name;
    const isLeaf = !isTree(value) || "hub" in value || name === "labels" || name === "early_stopping";
    if (isLeaf) found.set(path, value);
    else for (const [below, leaf] of leaves(value, `${path}.`)) found.set(below, leaf);
  }
  return found;
}

export const same = (one: unknown, other: unknown): boolean => JSON.stringify(one) === JSON.stringify(other);

/** Return the spec without the fields that have their default value. */
export function shortest(spec: Tree, known: Map<string, unknown>): Tree {
  const short: Tree = {};
  for (const [path, value] of leaves(spec))
    if (!known.has(path) || !same(known.get(path), value)) put(short, path, value);
  return short;
}

export function put(tree: Tree, path: string, value: unknown): void {
  const names = path.split(".");
  const last = names.pop()!;
  let at = tree;
  for (const name of names) at = (at[name] ??= {}) as Tree;
  at[last] = value;
}

export function pick(tree: Tree, path: string): unknown {
  return path.split(".").reduce<unknown>((at, name) => (isTree(at) ? at[name] : undefined), tree);
}

/** Format a setting's value; a dash if it is not set. */
export function asText(value: unknown): string {
  if (value === null || value === undefined || value === "") return NONE;
  if (Array.isArray(value)) return value.map(asText).join(", ") || NONE;
  if (!isTree(value)) return String(value);
  if ("dataset" in value && "weight" in value) return `${asText(value.dataset)} × ${asText(value.weight)}`;
  const entries = Object.entries(value).filter(([, one]) => one !== null);
  return entries.map(([name, one]) => `${name}:${asText(one)}`).join(", ") || NONE;
}

/** Return the curl command that submits the spec. */
export function asCurl(spec: Tree): string {
  const body = JSON.stringify(spec, null, 2).replaceAll("'", "'\\''");
  return `curl -s ${location.origin}/v1/jobs -H 'Content-Type: application/json' -d '${body}'`;
}
