// fine_tune.py for Node, with npm's package `openai`.
//   export OPENAI_BASE_URL=http://127.0.0.1:8000/v1 OPENAI_API_KEY=any
//   npm install openai
//   node fine_tune.mjs MODEL ROWS_FILE OUT_DIR

import { createReadStream } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import OpenAI from "openai";

const [model, rows, outDir] = process.argv.slice(2);
if (outDir === undefined) {
  console.error("node fine_tune.mjs MODEL ROWS_FILE OUT_DIR");
  process.exit(2);
}

const client = new OpenAI(); // reads the address and the key from the environment
const file = await client.files.create({ file: createReadStream(rows), purpose: "fine-tune" });
await client.files.waitForProcessing(file.id);
let job = await client.fineTuning.jobs.create({
  model,
  training_file: file.id,
  suffix: "example",
  method: { type: "supervised", supervised: { hyperparameters: { n_epochs: 1, batch_size: 4 } } },
});
console.log(`Created ${job.id} with ${file.id}`);

const shown = new Set();
while (true) {
  job = await client.fineTuning.jobs.retrieve(job.id); // read before the events, so that none is missed
  const events = [];
  for await (const event of client.fineTuning.jobs.listEvents(job.id, { limit: 100 })) events.unshift(event);
  for (const { id, message } of events) if (!shown.has(id)) console.log(message);
  for (const { id } of events) shown.add(id);
  if (["succeeded", "failed", "cancelled"].includes(job.status)) break;
  await setTimeout(1000);
}
if (job.status !== "succeeded") {
  console.error(job.status, job.error);
  process.exit(1);
}

await mkdir(outDir, { recursive: true });
const download = async (id, name) => {
  const content = await client.files.content(id);
  await writeFile(join(outDir, name), Buffer.from(await content.arrayBuffer()));
};
await download(job.result_files[0], "results.csv");
// OpenAI keeps the weights; Stepline returns them. `adapter_file` is a field that its API adds to the job.
await download(job.adapter_file, "adapter.zip");
console.log(`${job.fine_tuned_model} is in ${join(outDir, "adapter.zip")}.`);
