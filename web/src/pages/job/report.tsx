// The text report of a succeeded job, from the server.
import { useEffect, useState } from "preact/hooks";
import { getText } from "../../api";
import { Card, CopyButton } from "../../parts/controls";
import { language } from "../../preferences";
import { say } from "../../texts/say";
import { JOB } from "../../texts/job";
import { SHARED } from "../../texts/shared";
import { Boxed } from "./boxed";

export function Report({ id }: { id: string }) {
  const [text, setText] = useState("");
  const path = `/v1/jobs/${id}/summary?lang=${language.value}`;
  useEffect(() => void getText(path).then(setText, () => undefined), [path]);
  return (
    <Card
      title={say(JOB.report)}
      aside={
        <>
          <CopyButton text={() => text}>{say(SHARED.copy)}</CopyButton>
          <a class="button" href={`${path}&format=markdown`} download={`${id}.md`}>
            Markdown
          </a>
        </>
      }
    >
      <Boxed text={text} label={say(JOB.report_text)} />
    </Card>
  );
}
