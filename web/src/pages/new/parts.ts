// The texts of the training datasets in the form: the first one at `dataset.train`, the others at `dataset.train[1]`, and so on.
import type { Tree } from "../../spec";
import { PLAN } from "../../texts/plan";
import { say } from "../../texts/say";
import type { Texts } from "./types";

export const TRAIN = "dataset.train";
export const MOST_DATASETS = 16;
const COUNT = `${TRAIN}.count`;
const NAMES = ["", ".hub", ".config", ".split", ".revision", ".weight"];

export const pathOf = (part: number): string => (part === 0 ? TRAIN : `${TRAIN}[${part}]`);

/** Return whether a field that the API names is the one at this path, or a part of it. */
export const isWithin = (param: string, path: string): boolean =>
  param === path || param.startsWith(`${path}.`) || param.startsWith(`${path}[`);

/** Return which of several training datasets the API's `param` is about, counted from 0; null if it is about none. */
export function partOf(param: string): number | null {
  const part = Array.from({ length: MOST_DATASETS }, (_, at) => at).find((at) => isWithin(param, `${TRAIN}[${at}]`));
  return part ?? null;
}

/** Return a message about one of several training datasets. */
export const ofDataset = (part: number, message: string): string => say(PLAN.of_dataset, { n: part + 1, message });

/** Return how many training datasets the form shows. */
export const partsOf = (texts: Texts): number => Math.max(1, Number(texts[COUNT] ?? 1));

/** Return the changes that show one more dataset. */
export const withPart = (texts: Texts): Texts => ({ [COUNT]: String(partsOf(texts) + 1) });

/** Return the changes that remove a dataset and move up the ones after it. */
export function withoutPart(texts: Texts, part: number): Texts {
  const count = partsOf(texts);
  const changes: Texts = { [COUNT]: count > 2 ? String(count - 1) : "" };
  for (let at = part; at < count; at++)
    for (const name of NAMES) changes[pathOf(at) + name] = at + 1 < count ? (texts[pathOf(at + 1) + name] ?? "") : "";
  if (count === 2) changes[`${TRAIN}.weight`] = "";
  return changes;
}

/** Return the texts for several datasets of a spec. */
export function textsOfParts(parts: Tree[]): Texts {
  const texts: Texts = { [COUNT]: String(parts.length) };
  parts.forEach(({ dataset, weight }, at) => {
    if (typeof dataset === "string") texts[pathOf(at)] = dataset;
    else
      for (const [name, value] of Object.entries(dataset as Tree))
        if (value !== null) texts[`${pathOf(at)}.${name}`] = String(value);
    texts[`${pathOf(at)}.weight`] = String(weight ?? 1);
  });
  return texts;
}
