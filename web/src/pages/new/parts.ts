// The texts of the training datasets in the form: the first one at `dataset.train`, the others at `dataset.train[1]`, and so on.
import type { Tree } from "../../spec";
import type { Texts } from "./form";

export const TRAIN = "dataset.train";
export const MOST_DATASETS = 16;
const COUNT = `${TRAIN}.count`;
const NAMES = ["", ".hub", ".config", ".split", ".revision", ".weight"];

export const pathOf = (part: number): string => (part === 0 ? TRAIN : `${TRAIN}[${part}]`);

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
