// Builds the form from the JobSpec's JSON schema: its fields and their ranges, the spec from the values entered, and the
// field that each problem reported by the server belongs to.
import type { ApiError } from "../../api";
import { count } from "../../format";
import { parseLabels } from "../../labels";
import { asText, leaves, put, resolve, type Schema, type Tree } from "../../spec";
import { say } from "../../texts/say";
import { NEW } from "../../texts/new/new";
import { isWithin, ofDataset, partOf, partsOf, pathOf, textsOfParts, TRAIN } from "./parts";
import type { Texts } from "./types";
import { SHARED } from "../../texts/shared";

export interface Field {
  path: string;
  title: string;
  help: string;
  /** The schemas of the field's values; several for a field such as "a count, a share or auto". */
  choices: Schema[];
  defaultValue: unknown;
  isRequired: boolean;
  /** The allowed values; null if they cannot be listed. */
  options: string[] | null;
  isNumber: boolean;
}

type Document = Parameters<typeof resolve>[0];

const DATASETS = [TRAIN, "dataset.eval"];

/** Return every field in the schema's order. */
export function fieldsOf(document: Document): Field[] {
  const fields: Field[] = [];
  const walk = (schema: Schema, prefix: string, inOptional: boolean): void => {
    for (const [name, raw] of Object.entries(schema.properties ?? {})) {
      const path = prefix + name;
      const whole = resolve(document, raw);
      const choices = (whole.anyOf ?? whole.oneOf ?? [whole]).map((one) => resolve(document, one));
      const inner = choices.find((one) => one.properties);
      const isOptional = choices.some((one) => one.type === "null");
      if (inner && !DATASETS.includes(path)) walk(inner, `${path}.`, isOptional || inOptional);
      // The fields of an object that is null by default have no default of their own.
      else
        fields.push(
          makeField(
            path,
            inOptional ? { ...whole, default: null } : whole,
            choices,
            schema.required?.includes(name) ?? false,
          ),
        );
    }
  };
  walk(document.components.schemas.JobSpec!, "", false);
  return fields;
}

function makeField(path: string, whole: Schema, choices: Schema[], isRequired: boolean): Field {
  const real = choices.filter((one) => one.type !== "null");
  const title = (whole.title ?? path).toLowerCase();
  return {
    path,
    title: title.charAt(0).toUpperCase() + title.slice(1),
    help: whole.description ?? "",
    choices: real,
    defaultValue: whole.default ?? null,
    isRequired,
    options: optionsOf(real),
    isNumber: real.every((one) => one.type === "integer" || one.type === "number"),
  };
}

function optionsOf(choices: Schema[]): string[] | null {
  const options: string[] = [];
  for (const one of choices) {
    if (one.const !== undefined) options.push(String(one.const));
    else if (one.enum) options.push(...one.enum.map(String));
    else if (one.type === "boolean") options.push("true", "false");
    else return null;
  }
  return options;
}

/** Return the range of a field as text; empty if it is unbounded. */
export function rangeOf(field: Field): string {
  return field.choices
    .filter((one) => one.type === "integer" || one.type === "number")
    .map((one) => {
      const low = one.minimum ?? one.exclusiveMinimum;
      const high = one.maximum ?? one.exclusiveMaximum;
      if (low === undefined && high === undefined) return "";
      const [min, max] = [
        low === undefined ? "" : bound(low, one.exclusiveMinimum, ">"),
        high === undefined ? "" : bound(high, one.exclusiveMaximum, "<"),
      ];
      return high === undefined ? say(NEW.from_only, { min }) : say(NEW.from_to, { min, max });
    })
    .filter(Boolean)
    .join(say(NEW.or));
}

const bound = (value: number, exclusive: number | undefined, sign: string): string =>
  (exclusive === undefined ? "" : `${sign} `) + (Math.abs(value) >= 10_000 ? count(value) : String(value));

/** Return the text of each form field for a spec. */
export function textsOf(spec: Tree): Texts {
  const texts: Texts = {};
  for (const [path, value] of leaves(spec)) {
    if (value === null) continue;
    if (path === "labels")
      texts[path] = Object.entries(value as Tree)
        .map(([name, one]) => `${name}:${one}`)
        .join("\n");
    else if (path === TRAIN && Array.isArray(value)) Object.assign(texts, textsOfParts(value as Tree[]));
    else if (Array.isArray(value)) texts[path] = value.join(", ");
    else if (typeof value === "object")
      for (const [name, one] of Object.entries(value as Tree)) one !== null && (texts[`${path}.${name}`] = String(one));
    else texts[path] = asText(value);
  }
  return texts;
}

/** Return the spec built from the fields' text, and the problem with each invalid field. */
export function specOf(fields: Field[], texts: Texts): { spec: Tree; problems: Record<string, string> } {
  const spec: Tree = {};
  const problems: Record<string, string> = {};
  for (const field of fields) {
    try {
      const value =
        field.path === TRAIN && partsOf(texts) > 1
          ? mixtureOf(texts)
          : DATASETS.includes(field.path)
            ? datasetOf(field.path, texts)
            : valueOf(field, (texts[field.path] ?? "").trim());
      if (value !== undefined) put(spec, field.path, value);
      else if (field.isRequired) problems[field.path] = say(NEW.is_required);
    } catch (error) {
      problems[field.path] = (error as Error).message;
    }
  }
  return { spec, problems };
}

/** Return the training datasets with their weights. The server checks the range of the weights. */
function mixtureOf(texts: Texts): Tree[] {
  return Array.from({ length: partsOf(texts) }, (_, at) => {
    const dataset = datasetOf(pathOf(at), texts);
    if (dataset === undefined) throw new Error(say(NEW.choose_or_remove, { n: at + 1 }));
    const text = texts[`${pathOf(at)}.weight`]?.trim() || "1";
    if (!Number.isFinite(Number(text))) throw new Error(ofDataset(at, say(NEW.not_a_number)));
    return { dataset, weight: Number(text) };
  });
}

function datasetOf(path: string, texts: Texts): unknown {
  const id = texts[path]?.trim();
  if (id) return id;
  if (!texts[`${path}.hub`]?.trim()) return undefined;
  const source: Tree = {};
  for (const name of ["hub", "config", "split", "revision"]) {
    const text = texts[`${path}.${name}`]?.trim();
    if (text) source[name] = text;
  }
  return source;
}

function valueOf(field: Field, text: string): unknown {
  if (text === "") return undefined;
  if (field.path === "labels") return labelsOf(text);
  if (field.options) return text === "true" ? true : text === "false" ? false : text;
  for (const choice of field.choices) if (choice.const === text) return text;
  const numbers = field.choices.filter((one) => one.type === "integer" || one.type === "number");
  if (numbers.length) {
    const value = Number(text);
    if (!Number.isFinite(value)) {
      if (field.isNumber) throw new Error(say(NEW.not_a_number));
      return text; // the server checks the other values
    }
    if (field.isNumber && numbers.every((one) => one.type === "integer") && !Number.isInteger(value))
      throw new Error(say(NEW.not_an_integer));
    if (!numbers.some((one) => isInRange(value, one)))
      throw new Error(say(NEW.out_of_range, { range: rangeOf(field) }));
    return value;
  }
  if (field.choices.some((one) => one.type === "array")) return text.split(/[\s,，]+/).filter(Boolean);
  return text;
}

function isInRange(value: number, schema: Schema): boolean {
  return (
    (schema.type !== "integer" || Number.isInteger(value)) &&
    (schema.minimum === undefined || value >= schema.minimum) &&
    (schema.maximum === undefined || value <= schema.maximum) &&
    (schema.exclusiveMinimum === undefined || value > schema.exclusiveMinimum) &&
    (schema.exclusiveMaximum === undefined || value < schema.exclusiveMaximum)
  );
}

function labelsOf(text: string): Tree {
  const { labels, malformed } = parseLabels(text);
  if (malformed) throw new Error(say(SHARED.label_malformed));
  return labels;
}

/** A message from the server and the dotted path of its field, which is empty if it does not belong to a field. */
export interface ServerProblem {
  param: string;
  message: string;
}

/**
 * Return one entry for each problem that the server lists, or one with the whole message if it lists none. A listed message is
 * a clause without a full stop; the whole message is a sentence.
 */
export function serverProblemsOf({ errors, param, message, hint }: ApiError): ServerProblem[] {
  const [first, ...others] = errors.length ? errors : [{ param, message }];
  const stop = errors.length ? say(NEW.stop) : " ";
  const withHint = { param: first!.param, message: hint ? first!.message + stop + hint : first!.message };
  return [withHint, ...others].map(({ param, message }) => ({
    param: param ?? "",
    message: withDataset(param ?? "", message),
  }));
}

/** Say which of several datasets a message is about. */
function withDataset(param: string, message: string): string {
  const part = partOf(param);
  return part === null ? message : ofDataset(part, message);
}

export const belongsTo = ({ param }: ServerProblem, path: string): boolean => isWithin(param, path);
