// Types that the form, its fields and their controls share.
import type { components } from "../../api";

/** The texts of the form's fields, by path. */
export type Texts = Record<string, string>;
export type ModelPage = components["schemas"]["ModelPage"];
export type Set = (changes: Texts) => void;

/** The attributes of the control that holds a field's value. */
export interface Attributes {
  id: string;
  "aria-invalid": boolean | undefined;
  "aria-describedby": string;
  "aria-label"?: string;
}
