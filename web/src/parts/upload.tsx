// Uploading a dataset: the button, and the message about the file that is being uploaded or checked, or was rejected.
import { useEffect, useRef, useState } from "preact/hooks";
import { type ApiError, type components, type Dataset, getWithRetries, sendForm } from "../api";
import { count } from "../format";
import { DATASETS } from "../texts/datasets/datasets";
import { say } from "../texts/say";

export type DatasetDetail = components["schemas"]["DatasetDetail"];

const CHECK_MS = 1000;

interface Upload {
  /** `share` is how much of the file has been sent or checked, if that is known. */
  message: { text: string; isBad: boolean; share?: number } | null;
  send: (file: File) => void;
  forget: () => void;
}

/**
 * Return a function that uploads a file, and the message about the last upload. `use` is called with the dataset once it is ready, and
 * `received` as soon as a large file is being checked.
 */
export function useUpload(use: (dataset: DatasetDetail) => void, received?: () => void): Upload {
  const [message, setMessage] = useState<Upload["message"]>(null);
  /** The file that the message is about; an earlier one is no longer followed. */
  const current = useRef<File | null>(null);
  useEffect(() => () => void (current.current = null), []);
  const send = async (file: File): Promise<void> => {
    current.current = file;
    const { name } = file;
    const show = (text: string, more: { isBad?: boolean; share?: number } = {}): void => {
      if (current.current === file) setMessage({ text, isBad: false, ...more });
    };
    show(say(DATASETS.uploading_file, { name }), { share: 0 });
    const form = new FormData();
    form.append("file", file);
    try {
      let dataset = await sendForm<DatasetDetail>("/v1/datasets", form, (share) =>
        show(say(DATASETS.uploading_file, { name }), { share }),
      );
      if (dataset.status === "validating") received?.();
      while (dataset.status === "validating" && current.current === file) {
        const rows = count(dataset.progress?.rows ?? 0);
        show(say(DATASETS.checking_file, { name, rows }), { share: checkedShare(dataset) });
        await new Promise((done) => setTimeout(done, CHECK_MS));
        dataset = await getWithRetries<DatasetDetail>(`/v1/datasets/${dataset.id}`);
      }
      if (current.current !== file) return;
      if (dataset.failure) {
        show(`${name}: ${sentences(dataset.failure)}`, { isBad: true });
        received?.();
        return;
      }
      show(say(DATASETS.uploaded, { name, rows: count(dataset.rows) }));
      use(dataset);
    } catch (error) {
      show(sentences(error as ApiError), { isBad: true });
    }
  };
  const forget = (): void => {
    current.current = null;
    setMessage(null);
  };
  return { message, send: (file) => void send(file), forget };
}

/** Return how much of a dataset's file has been checked, from 0 to 1. */
export function checkedShare(dataset: Dataset): number {
  return Math.min(1, (dataset.progress?.bytes ?? 0) / Math.max(1, dataset.bytes));
}

const sentences = (problem: { message: string; hint?: string | null }): string =>
  [problem.message, problem.hint].filter(Boolean).join(" ");

export function UploadButton({ upload, name }: { upload: Upload; name?: string }) {
  return (
    <label class="button">
      {say(DATASETS.upload)}
      <input
        type="file"
        class="hidden"
        accept=".json,.jsonl,.ndjson,.csv,.tsv,.parquet,.arrow,.feather,.gz,.zst,.zip"
        aria-label={name ? `${say(DATASETS.upload)} (${name})` : say(DATASETS.upload)}
        onChange={(event) => {
          const file = event.currentTarget.files?.[0];
          event.currentTarget.value = "";
          if (file) upload.send(file);
        }}
      />
    </label>
  );
}

export function UploadMessage({ message }: { message: Upload["message"] }) {
  if (!message) return null;
  return (
    <>
      <p class={message.isBad ? "problem" : "note"} role={message.isBad ? "alert" : "status"}>
        {message.text}
      </p>
      {message.share !== undefined && <progress value={message.share} aria-label={message.text} />}
    </>
  );
}

/** A row of a dataset as the model learns it. */
export function Conversation({ row }: { row: DatasetDetail["preview"][number] }) {
  return (
    <dl class="settings">
      {row.messages.map((turn, at) => (
        <div key={at}>
          <dt>{turn.role}</dt>
          <dd>{[turn.content, ...(turn.tool_calls ?? [])].filter(Boolean).join("\n")}</dd>
        </div>
      ))}
    </dl>
  );
}
