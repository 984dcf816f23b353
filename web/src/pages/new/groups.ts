// The order of the fields: the few that most jobs set, then the advanced ones in groups.
import type { Field } from "./form";
import type { Text } from "../../texts/say";
import { NEW } from "../../texts/new/new";

const FIRST = [
  "preset",
  "model",
  "dataset.train",
  "training.epochs",
  "training.learning_rate",
  "training.max_length",
  "name",
];

const ADVANCED: [Text, (path: string) => boolean][] = [
  [NEW.group_data, (path) => /^(model_revision|dataset\..*)$/.test(path)],
  [NEW.group_training, (path) => path.startsWith("training.")],
  [NEW.group_lora, (path) => path.startsWith("lora.")],
  [NEW.group_evaluation, (path) => /^(evaluation|checkpoint)\./.test(path)],
  [NEW.group_resources, (path) => path.startsWith("resources.")],
  [NEW.group_about, (path) => /^(labels|priority|queue)$/.test(path)],
  [NEW.group_quantization, (path) => path.startsWith("quantization.")],
  [NEW.group_engine, (path) => path.startsWith("engine.")],
];

export interface Group {
  title: Text;
  fields: Field[];
}

/** Whether a field is advanced. The parts of the training data, such as a weight, are not. */
export const isAdvanced = (path: string): boolean => !FIRST.includes(path) && !/^dataset\.train[.[]/.test(path);

/** Return the fields that most jobs set, and the others in groups. */
export function groupsOf(fields: Field[]): { first: Group; advanced: Group[] } {
  const first = FIRST.flatMap((path) => fields.filter((field) => field.path === path));
  const others = fields.filter((field) => isAdvanced(field.path));
  return {
    first: { title: NEW.group_first, fields: first },
    advanced: ADVANCED.map(([title, fits]) => ({ title, fields: others.filter((field) => fits(field.path)) })),
  };
}
