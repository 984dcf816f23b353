// Help for form fields whose description in the API's schema refers to JSON. All other English help comes from the schema.
export const ENGLISH_HELP: Record<string, string> = {
  preset: "Settings to start from. What you enter in the form takes precedence.",
  model: "The model to fine-tune. A model on the workers takes precedence over one with the same id on the Hub.",
  model_revision: "Commit, tag or branch on the Hub. Empty: the newest commit, which the report names.",
  "dataset.train": "Rows to train on: an uploaded file, a dataset on the Hub, or several of them with weights.",
  "dataset.eval": "Separate rows to evaluate on. Empty: some training rows are held out.",
  "dataset.eval_size": "A number of rows, a share below 1, or auto: 2 % of the rows, between 1 and 2,000.",
  "lora.target_modules": "all-linear (every linear layer except the head), or module names, separated by commas.",
  "training.per_device_batch_size":
    "Samples per accumulation step. Only its product with the next field affects the result.",
  "training.max_steps":
    "Number of updates. The rows are repeated until it is reached. Empty: the number of epochs decides.",
  "training.early_stopping.patience":
    "Training stops after this many evaluations in a row without improvement. Both fields empty: no early stopping.",
  name: "Helps you to recognize the job; it does not have to be unique.",
  labels: "For filtering: one key:value per line, at most 16.",
};
