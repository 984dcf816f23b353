// All requests to the API. Records whether the server can be reached, and since when it cannot.
import { signal } from "@preact/signals";
import { language } from "./preferences";
import type { components } from "./schema";
import { parse } from "./text";

export type { components };

type Schemas = components["schemas"];
export type FieldError = Schemas["FieldError"];
type Problem = Schemas["ErrorDetail"];
export type Job = Schemas["JobView"];
export type JobSpec = Schemas["JobSpec"];
export type Event = Schemas["EventView"];
export type LogLine = Schemas["LogLine"];
export type Attempt = Schemas["AttemptView"];
export type Summary = Schemas["Summary"];
export type Worker = Schemas["WorkerView"];
export type Dataset = Schemas["DatasetView"];
export type Artifact = Schemas["ArtifactView"];
export interface List<Item> {
  data: Item[];
  has_more: boolean;
  cursor: string | null;
}

/** When the server last answered, and since when it cannot be reached (null: it can). */
export const lastAnswerAt = signal(Date.now());
export const awaySince = signal<number | null>(null);

const PATIENCE_MS = 20_000;
const AGAIN_MS = 1000;

/** A request that the server rejected, as its error body says. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly param: string | null = null,
    readonly hint: string | null = null,
    /** Every problem of the request, if the server lists them. */
    readonly errors: FieldError[] = [],
  ) {
    super(message);
  }
}

/** The server, or its database or storage, cannot be reached. */
export class Away extends Error {}

interface Options {
  body?: unknown;
  form?: FormData;
  accept?: string;
  headers?: Record<string, string>;
  patience?: number;
}

async function send(method: string, path: string, options: Options): Promise<Response> {
  const headers: Record<string, string> = { "Accept-Language": language.value, ...options.headers };
  if (options.accept) headers.Accept = options.accept;
  const init: RequestInit = { method, headers };
  if (options.form) init.body = options.form;
  else if (options.body !== undefined) {
    headers["Content-Type"] = "application/json";
    init.body = JSON.stringify(options.body);
  }
  if (!options.form) init.signal = AbortSignal.timeout(options.patience ?? PATIENCE_MS);
  let response: Response;
  try {
    response = await fetch(path, init);
  } catch (error) {
    awaySince.value ??= Date.now();
    throw new Away(String(error));
  }
  if (response.status === 502 || response.status === 503 || response.status === 504) {
    awaySince.value ??= Date.now();
    throw new Away(`${response.status}`);
  }
  lastAnswerAt.value = Date.now();
  awaySince.value = null;
  if (!response.ok) throw await refusal(response);
  return response;
}

async function refusal(response: Response): Promise<Refused> {
  try {
    const { error } = parse<{ error: Problem }>(await response.text());
    return new Refused(response.status, error.code, error.message, error.param, error.hint ?? null, error.errors ?? []);
  } catch {
    return new Refused(response.status, "", `HTTP ${response.status}`);
  }
}

export async function call<T>(method: string, path: string, options: Options = {}): Promise<T> {
  const response = await send(method, path, { accept: "application/json", ...options });
  return response.status === 204 ? (undefined as T) : parse<T>(await response.text());
}

export const get = <T>(path: string): Promise<T> => call<T>("GET", path);

/** Get what a page cannot be shown without; retries until the server can be reached. */
export async function getPatiently<T>(path: string): Promise<T> {
  for (;;) {
    try {
      return await get<T>(path);
    } catch (error) {
      if (error instanceof Refused) throw error;
    }
    await new Promise((done) => setTimeout(done, AGAIN_MS));
  }
}

export async function getText(path: string): Promise<string> {
  return (await send("GET", path, { accept: "text/plain" })).text();
}

/** Build a path with a query; null, undefined and empty values are left out, lists repeat their name. */
export function withQuery(path: string, query: Record<string, string | number | string[] | null | undefined>): string {
  const parts = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (Array.isArray(value)) for (const one of value) parts.append(name, one);
    else if (value !== null && value !== undefined && value !== "") parts.set(name, String(value));
  }
  const text = parts.toString();
  return text ? `${path}?${text}` : path;
}

export const isFinal = (job: Pick<Job, "status">): boolean =>
  job.status === "succeeded" || job.status === "failed" || job.status === "cancelled";
