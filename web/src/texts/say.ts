// Defines the page's text in both languages, and returns it in the selected one. Each page has a file or a folder with its own text.
import { language } from "../preferences";

/**
 * One piece of text in both languages; `say` fills in its `{names}`. For `{n:job|jobs}`, it inserts the first word if `n` is 1
 * and the second otherwise.
 */
export type Text = readonly [english: string, chinese: string];

type Name<Braced> = Braced extends `${infer Before}:${string}` ? Before : Braced;
type Names<Sentence> = Sentence extends `${string}{${infer Braced}}${infer Rest}` ? Name<Braced> | Names<Rest> : never;
type Figures<T extends Text> = [Names<T[0]>] extends [never] ? [] : [Record<Names<T[0]>, string | number>];

/** The given text, or a type error if the `{names}` in English and Chinese differ. */
type Checked<All extends Record<string, Text>> = {
  [Key in keyof All]: [Names<All[Key][0]>, Names<All[Key][1]>] extends [Names<All[Key][1]>, Names<All[Key][0]>]
    ? All[Key]
    : "the {names} in the two languages differ";
};

/** Define the text of one page. */
export const texts = <const All extends Record<string, Text>>(all: All & Checked<All>): All => all;

/** Return a piece of text in the page's language. `figures` has a value for each of its `{names}`. */
export function say<const T extends Text>(text: T, ...[figures]: Figures<T>): string {
  const sentence: string = text[language.value === "zh" ? 1 : 0];
  if (!figures) return sentence;
  return sentence.replace(/\{(\w+)(?::([^|}]*)\|([^}]*))?\}/g, (_, name: keyof typeof figures, one, several) => {
    const text = String(figures[name]);
    return one === undefined ? text : text === "1" ? one : several;
  });
}
