// The comparison of two to twelve jobs: their losses in one chart, and a table of what differs in their settings and results.
import { useEffect } from "preact/hooks";
import { chartView } from "../../chart/view";
import { language } from "../../preferences";
import { MOST_COMPARED } from "../../parts/selection";
import { query } from "../../router";
import { COMPARE } from "../../texts/compare";
import { say } from "../../texts/say";
import { SHARED } from "../../texts/shared";
import { Overlay } from "./overlay";
import { type Side, useSides } from "./sides";
import { Results } from "./results";

export function ComparePage() {
  const given = [...new Set((query.value.get("ids") ?? "").split(",").filter(Boolean))];
  const ids = given.slice(0, MOST_COMPARED);
  const found = useSides(ids, chartView().x === "time");
  const sides = ids.map((id) => found.sides.get(id)).filter((side): side is Side => side !== undefined);
  const missing = ids.filter((id) => found.missing.has(id));
  useEffect(() => {
    document.title = `${say(SHARED.compare)} · Stepline`;
  }, [language.value]);
  if (ids.length < 2) {
    return (
      <div class="empty">
        <b>{say(COMPARE.too_few)}</b>
        <a href="/">{say(SHARED.back_to_jobs)}</a>
      </div>
    );
  }
  if (sides.length + missing.length === 0) return <p class="note">{say(SHARED.loading)}</p>;
  return (
    <>
      <header class="page">
        <h1 class="grow">{sides.length < 2 ? say(SHARED.compare) : say(COMPARE.title, { n: sides.length })}</h1>
        <a class="button" href={`/?ids=${ids.join(",")}`}>
          {say(COMPARE.change)}
        </a>
      </header>
      {given.length > ids.length && <p class="problem">{say(COMPARE.too_many, { n: given.length })}</p>}
      {missing.map((id) => (
        <p key={id} class="problem" role="alert">
          {say(SHARED.not_found_job, { id })}
        </p>
      ))}
      {sides.length > 0 ? <Overlay sides={sides} /> : <a href="/">{say(SHARED.back_to_jobs)}</a>}
      <Results sides={sides} />
    </>
  );
}
