// Checks of OpenAI's client for Node against a running service: node --test checks.mjs, with URL and ROWS in the environment.
// `openai` must be in a node_modules folder beside this file or above it.

import assert from "node:assert/strict";
import { createReadStream } from "node:fs";
import { readFile } from "node:fs/promises";
import { before, test } from "node:test";
import OpenAI from "openai";

const client = new OpenAI({ baseURL: `${process.env.URL}/v1`, apiKey: "any-key" });
const jobs = client.fineTuning.jobs;
const deleteFile = client.files.delete ?? client.files.del; // its name until version 4
let job;

async function all(pages) {
  const found = [];
  for await (const each of pages) found.push(each);
  return found;
}

async function poll(id) {
  for (;;) {
    const found = await jobs.retrieve(id);
    if (["succeeded", "failed", "cancelled"].includes(found.status)) return found;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

const upload = () => client.files.create({ file: createReadStream(process.env.ROWS), purpose: "fine-tune" });

before(async () => {
  const file = await upload();
  assert.equal((await client.files.waitForProcessing(file.id)).status, "processed");
  const created = await jobs.create({
    model: "tiny-qwen2",
    training_file: file.id,
    suffix: "node",
    method: { type: "supervised", supervised: { hyperparameters: { n_epochs: 1, batch_size: 4 } } },
    stepline: { dataset: { eval_size: 8 }, checkpoint: { every_steps: 3 }, training: { max_length: 128 } },
  });
  job = await poll(created.id);
});

test("a job is created and polled", () => {
  assert.equal(job.status, "succeeded");
  assert.match(job.fine_tuned_model, /^ft:tiny-qwen2:stepline:node:/);
  assert.ok(job.trained_tokens > 0);
});

test("jobs and files are listed to the end", async () => {
  const queued = { model: "tiny-qwen2", training_file: job.training_file, stepline: { queue: "without-worker" } };
  const created = [];
  for (let n = 0; n < 5; n++) created.unshift((await jobs.create({ ...queued, metadata: { node: job.id } })).id);

  const listed = (await all(jobs.list({ limit: 2, metadata: { node: job.id } }))).map(({ id }) => id);
  const files = (await all(client.files.list({ limit: 1 }))).map(({ id }) => id);

  assert.deepEqual(listed, created);
  assert.ok(files.includes(job.training_file));
  assert.equal(new Set(files).size, files.length);
  for (const id of created) assert.equal((await jobs.cancel(id)).status, "cancelled");
});

test("a queued job is paused and resumed", async () => {
  const made = await jobs.create({
    model: "tiny-qwen2",
    training_file: job.training_file,
    stepline: { queue: "without-worker" },
  });

  assert.equal((await jobs.pause(made.id)).status, "paused");
  assert.equal((await jobs.resume(made.id)).status, "queued");
  assert.equal((await jobs.cancel(made.id)).status, "cancelled");
});

test("events and checkpoints are listed to the end", async () => {
  const events = await all(jobs.listEvents(job.id, { limit: 4 }));
  const checkpoints = await all(jobs.checkpoints.list(job.id, { limit: 1 }));

  assert.equal(events[0].message, "The job has successfully completed");
  const steps = events.filter(({ type }) => type === "metrics").map(({ data }) => data.step);
  assert.deepEqual(steps, [8, 7, 6, 5, 4, 3, 2, 1]);
  assert.deepEqual(checkpoints.map(({ step_number: step }) => step), [6, 3]);
});

test("errors have the class, the code and the field", async () => {
  await assert.rejects(jobs.create({ model: "tiny-qwen2", training_file: "file-0" }), (error) => {
    assert.ok(error instanceof OpenAI.BadRequestError);
    assert.deepEqual([error.status, error.code, error.param], [400, "file_not_found", "training_file"]);
    assert.ok(error.requestID ?? error.request_id);
    return true;
  });
  await assert.rejects(jobs.retrieve("ftjob-0"), (error) => {
    assert.ok(error instanceof OpenAI.NotFoundError);
    assert.equal(error.code, "job_not_found");
    return true;
  });
  await assert.rejects(jobs.cancel(job.id), OpenAI.ConflictError);
});

test("the result file and the adapter are downloaded", async () => {
  const results = await (await client.files.content(job.result_files[0])).text();
  const adapter = Buffer.from(await (await client.files.content(job.adapter_file)).arrayBuffer());

  assert.match(results, /^step,train_loss,train_accuracy/);
  assert.equal(results.trim().split("\n").length, 9);
  assert.equal(adapter.subarray(0, 2).toString(), "PK");
  assert.equal((await client.files.retrieve(job.adapter_file)).bytes, adapter.length);
});

test("a file is uploaded in parts and deleted", async () => {
  const rows = await readFile(process.env.ROWS);
  const half = rows.length >> 1;
  const made = await client.uploads.create({
    bytes: rows.length,
    filename: "parts.jsonl",
    mime_type: "application/jsonl",
    purpose: "fine-tune",
  });
  const part = async (data) =>
    (await client.uploads.parts.create(made.id, { data: await OpenAI.toFile(data, "part") })).id;
  const parts = [await part(rows.subarray(0, half)), await part(rows.subarray(half))];
  const { status, file } = await client.uploads.complete(made.id, { part_ids: parts });

  assert.equal(status, "completed");
  assert.equal((await client.files.retrieve(file.id)).bytes, rows.length);
  assert.equal((await deleteFile.call(client.files, file.id)).deleted, true);
});
