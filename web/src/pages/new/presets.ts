// The presets: their list in the page's language, and the form's fields with the values of the chosen one as defaults.
import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import type { components } from "../../api";
import { getWithRetries, type List } from "../../api";
import { language } from "../../preferences";
import { pick, type Tree } from "../../spec";
import type { Field } from "./form";

export type Preset = components["schemas"]["PresetView"];

export const presets = signal<Preset[]>([]);

/** Load the presets in the page's language. */
export function usePresets(): void {
  useEffect(() => {
    let current = true;
    getWithRetries<List<Preset>>("/v1/presets").then(
      (page) => current && (presets.value = page.data),
      () => undefined,
    );
    return () => {
      current = false;
    };
  }, [language.value]);
}

export const findPreset = (name: string | undefined): Preset | undefined =>
  presets.value.find((one) => one.name === name);

/** Return the fields with the preset's values as their defaults. */
export function presetFields(fields: Field[], name: string | undefined): Field[] {
  const settings = findPreset(name)?.settings as Tree | undefined;
  if (!settings) return fields;
  return fields.map((field) => {
    const value = pick(settings, field.path);
    return value === undefined ? field : { ...field, defaultValue: value };
  });
}
