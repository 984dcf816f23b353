// Uploading a dataset: the button, and the message about the file that is being uploaded or was rejected.
import { useState } from "preact/hooks";
import { type ApiError, call, type components } from "../api";
import { count } from "../format";
import { DATASETS } from "../texts/datasets";
import { say } from "../texts/say";

export type DatasetDetail = components["schemas"]["DatasetDetail"];

interface Upload {
  message: { text: string; isBad: boolean } | null;
  send: (file: File) => void;
  forget: () => void;
}

/** Return how to upload a file, and the message about the last one. `use` is called with the stored dataset. */
export function useUpload(use: (dataset: DatasetDetail) => void): Upload {
  const [message, setMessage] = useState<Upload["message"]>(null);
  const send = async (file: File): Promise<void> => {
    setMessage({ text: say(DATASETS.uploading_file, { name: file.name }), isBad: false });
    const form = new FormData();
    form.append("file", file);
    try {
      const dataset = await call<DatasetDetail>("POST", "/v1/datasets", { form });
      setMessage({ text: say(DATASETS.uploaded, { name: file.name, rows: count(dataset.rows) }), isBad: false });
      use(dataset);
    } catch (error) {
      setMessage({ text: [(error as Error).message, (error as ApiError).hint].filter(Boolean).join(" "), isBad: true });
    }
  };
  return { message, send: (file) => void send(file), forget: () => setMessage(null) };
}

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
    <p class={message.isBad ? "problem" : "note"} role={message.isBad ? "alert" : "status"}>
      {message.text}
    </p>
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
