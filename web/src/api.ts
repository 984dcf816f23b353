// Sends all requests to the API, and records whether the server is reachable.
import { signal } from "@preact/signals";
import { language } from "./preferences";
import type { components } from "./schema";
import { FRAME } from "./texts/frame";
import { say } from "./texts/say";
import { parse } from "./text";

export type { components };

type Schemas = components["schemas"];
export type FieldError = Schemas["FieldError"];
type Problem = Schemas["ErrorDetail"];
export type Job = Schemas["JobView"];
export type JobName = Schemas["JobName"];
export type JobSpec = Schemas["JobSpec"];
export type Event = Schemas["EventView"];
export type LogLine = Schemas["LogLine"];
export type Attempt = Schemas["AttemptView"];
export type Summary = Schemas["SummaryView"];
export type Worker = Schemas["WorkerView"];
export type Dataset = Schemas["DatasetView"];
export type Artifact = Schemas["ArtifactView"];
export interface List<Item> {
  data: Item[];
  has_more: boolean;
  cursor: string | null;
}

/** When the server last responded, and when it became unreachable (null if it is reachable). */
export const lastResponseAt = signal(Date.now());
export const unreachableSince = signal<number | null>(null);

/** A request that only reads may take this long. */
export const READ_MS = 20_000;
/**
 * A request that changes something fails after this time if the server is unreachable, because the reader waits for it in front of a
 * dialog. A reachable server that is just slow, for example to delete a large job, has READ_MS.
 */
export const CHANGE_MS = 5000;
/** Submitting a job may take longer, because the server first reads the dataset. It can be repeated, since it has an idempotency key. */
export const SUBMIT_MS = 10_000;
/**
 * An upload fails if nothing has been sent for this time. Once all has been sent, it fails only if the server is unreachable, because the
 * server may check the file for minutes before it responds.
 */
const UPLOAD_SILENCE_MS = 30_000;
/** If no response arrives within this time, a probe finds out whether the server is unreachable or just slow to answer that request. */
const SILENCE_MS = 1500;
const PROBE_MS = 1500;
const RETRY_MS = 1000;

/** The server rejected a request; the fields come from the error body. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly param: string | null = null,
    readonly hint: string | null = null,
    /** All problems in the request, if the server lists them. */
    readonly errors: FieldError[] = [],
  ) {
    super(message);
  }
}

/** The server, its database or its storage is unreachable. */
export class Unreachable extends Error {}

interface Options {
  body?: unknown;
  accept?: string;
  headers?: Record<string, string>;
  timeoutMs?: number;
  /** Cancels the request, which then fails with the browser's AbortError. */
  signal?: AbortSignal;
}

async function send(method: string, path: string, options: Options): Promise<Response> {
  const timeoutMs = options.timeoutMs ?? (method === "GET" ? READ_MS : CHANGE_MS);
  const headers: Record<string, string> = { "Accept-Language": language.value, ...options.headers };
  if (options.accept) headers.Accept = options.accept;
  const init: RequestInit = { method, headers };
  if (options.body !== undefined) {
    headers["Content-Type"] = "application/json";
    init.body = JSON.stringify(options.body);
  }
  const limit = startLimit(method, timeoutMs);
  init.signal = options.signal ? AbortSignal.any([limit.signal, options.signal]) : limit.signal;
  const noticing = timeoutMs > PROBE_MS ? window.setTimeout(noticeSilence, SILENCE_MS) : undefined;
  let response: Response;
  try {
    response = await fetch(path, init);
  } catch (error) {
    if (options.signal?.aborted) throw error;
    unreachableSince.value ??= Date.now();
    throw new Unreachable(unreachableMessage(error, limit.ms()));
  } finally {
    limit.end();
    clearTimeout(noticing);
  }
  if (response.status === 502 || response.status === 503 || response.status === 504) {
    unreachableSince.value ??= Date.now();
    throw new Unreachable(`${say(FRAME.no_connection)} (${response.status})`);
  }
  heard();
  if (!response.ok) throw await rejection(response);
  return response;
}

interface Limit {
  signal: AbortSignal;
  /** The time after which the request is aborted. */
  ms: () => number;
  end: () => void;
}

/** Abort a request after its time; a change continues until READ_MS if the server still responds to others. */
function startLimit(method: string, timeoutMs: number): Limit {
  const controller = new AbortController();
  const giveUp = (): void => controller.abort(new DOMException("", "TimeoutError"));
  let timer: number | undefined;
  let limitMs = timeoutMs;
  let hasEnded = false;
  const decide = async (): Promise<void> => {
    if (method !== "GET") await probe();
    if (hasEnded) return;
    if (method === "GET" || unreachableSince.value !== null) giveUp();
    else {
      limitMs = READ_MS;
      timer = window.setTimeout(giveUp, READ_MS - timeoutMs);
    }
  };
  timer = window.setTimeout(() => void decide(), timeoutMs);
  return {
    signal: controller.signal,
    ms: () => limitMs,
    end: () => {
      hasEnded = true;
      clearTimeout(timer);
    },
  };
}

/** Record that the server has just sent something. */
export function heard(): void {
  lastResponseAt.value = Date.now();
  unreachableSince.value = null;
}

function noticeSilence(): void {
  if (Date.now() - lastResponseAt.value >= SILENCE_MS) void probe();
}

let probing: Promise<void> | null = null;

/** Find out whether the server is reachable. */
export function probe(): Promise<void> {
  probing ??= call("GET", "/healthz", { timeoutMs: PROBE_MS })
    .catch(() => undefined)
    .then(() => void (probing = null));
  return probing;
}

function unreachableMessage(error: unknown, limitMs: number): string {
  const isTimeout = error instanceof DOMException && error.name === "TimeoutError";
  return isTimeout ? say(FRAME.no_response, { seconds: limitMs / 1000 }) : say(FRAME.no_connection);
}

async function rejection(response: Response): Promise<ApiError> {
  try {
    const { error } = parse<{ error: Problem }>(await response.text());
    return new ApiError(
      response.status,
      error.code,
      error.message,
      error.param,
      error.hint ?? null,
      error.errors ?? [],
    );
  } catch {
    return new ApiError(response.status, "", `HTTP ${response.status}`);
  }
}

export async function call<T>(method: string, path: string, options: Options = {}): Promise<T> {
  const response = await send(method, path, { accept: "application/json", ...options });
  return response.status === 204 ? (undefined as T) : parse<T>(await response.text());
}

/**
 * POST a form with a file. `progress` receives the fraction sent so far, which `fetch` does not report. A large file may take any
 * time, so only a silent connection or server ends the upload.
 */
export function sendForm<T>(path: string, form: FormData, progress: (share: number) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", path);
    request.setRequestHeader("Accept-Language", language.value);
    request.setRequestHeader("Accept", "application/json");
    const fail = (message: string): void => {
      clearTimeout(silence);
      unreachableSince.value ??= Date.now();
      reject(new Unreachable(message));
    };
    let silence: number | undefined;
    let isSent = false;
    const giveUp = (): void => {
      request.abort();
      fail(say(FRAME.no_response, { seconds: UPLOAD_SILENCE_MS / 1000 }));
    };
    const decide = async (): Promise<void> => {
      if (isSent) await probe();
      if (request.readyState === XMLHttpRequest.DONE) return;
      if (isSent && unreachableSince.value === null) awaitNews();
      else giveUp();
    };
    const awaitNews = (): void => {
      clearTimeout(silence);
      silence = window.setTimeout(() => void decide(), UPLOAD_SILENCE_MS);
    };
    request.upload.onprogress = (event) => {
      awaitNews();
      if (event.lengthComputable) progress(event.loaded / event.total);
    };
    request.upload.onload = () => {
      isSent = true;
      awaitNews();
    };
    request.onerror = () => fail(say(FRAME.no_connection));
    request.onload = () => {
      clearTimeout(silence);
      heard();
      const { status, responseText } = request;
      if (status >= 200 && status < 300) resolve(parse<T>(responseText));
      else void rejection(new Response(responseText, { status })).then(reject);
    };
    awaitNews();
    request.send(form);
  });
}

/** GET a resource together with its ETag, for a later edit. The reader waits for it as for a change. */
export async function getTagged<T>(path: string): Promise<{ value: T; tag: string | null }> {
  const response = await send("GET", path, { accept: "application/json", timeoutMs: CHANGE_MS });
  return { value: parse<T>(await response.text()), tag: response.headers.get("ETag") };
}

export const get = <T>(path: string): Promise<T> => call<T>("GET", path);

/** Send a GET request that the page depends on; retry until the server is reachable. */
export async function getWithRetries<T>(path: string): Promise<T> {
  for (;;) {
    try {
      return await get<T>(path);
    } catch (error) {
      if (error instanceof ApiError) throw error;
    }
    await new Promise((done) => setTimeout(done, RETRY_MS));
  }
}

export async function getText(path: string): Promise<string> {
  return (await send("GET", path, { accept: "text/plain" })).text();
}

/** Build a path with a query. Null, undefined and empty values are omitted; for a list, the parameter is repeated. */
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
