// Renders the frame around every page, and the page that the URL names.
import { render } from "preact";
import { useEffect, useRef } from "preact/hooks";
import "uplot/dist/uPlot.min.css";
import "./style.css";
import { lastResponseAt, probe, unreachableSince } from "./api";
import { duration } from "./format";
import { language, theme, type Theme } from "./preferences";
import { Toast } from "./parts/bell";
import { useClock, useKeys } from "./parts/controls";
import { ComparePage } from "./pages/compare/page";
import { DatasetsPage } from "./pages/datasets/page";
import { DocsPage } from "./pages/docs";
import { JobPage } from "./pages/job/page";
import { JobsPage } from "./pages/jobs/page";
import { NewPage } from "./pages/new/page";
import { WorkersPage } from "./pages/workers";
import { followLinks, go, path } from "./router";
import { SHARED } from "./texts/shared";
import { say, type Text } from "./texts/say";
import { FRAME } from "./texts/frame";
import { DATASETS } from "./texts/datasets/datasets";

const THEMES: Theme[] = ["auto", "light", "dark"];

function CurrentPage() {
  const at = path.value;
  const job = /^\/jobs\/([^/]+)$/.exec(at);
  if (job) return <JobPage key={job[1]} id={decoded(job[1]!)} />;
  if (at === "/") return <JobsPage />;
  if (at === "/compare") return <ComparePage />;
  if (at === "/new") return <NewPage />;
  if (at === "/datasets") return <DatasetsPage />;
  if (at === "/workers") return <WorkersPage />;
  if (at === "/docs") return <DocsPage />;
  return <NotFound />;
}

function NotFound() {
  useEffect(() => {
    document.title = `${say(FRAME.not_found)} · Stepline`;
  }, [language.value]);
  return (
    <div class="empty" role="alert">
      <b>{say(FRAME.not_found)}</b>
      <code>{path.value}</code>
      <a href="/">{say(SHARED.back_to_jobs)}</a>
    </div>
  );
}

/** Decode a part of the URL; return it unchanged if it is malformed. */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function Frame() {
  const help = useRef<HTMLDialogElement>(null);
  useKeys({
    "?": () => help.current?.showModal(),
    n: () => go("/new"),
    g: () => go("/"),
  });
  const link = (to: string, text: Text) => (
    <a href={to} aria-current={path.value === to ? "page" : undefined}>
      {say(text)}
    </a>
  );
  return (
    <div onClick={followLinks}>
      <a class="skip" href="#main">
        {say(FRAME.skip)}
      </a>
      <header class="top">
        <a class="brand" href="/" aria-label="Stepline">
          <svg viewBox="0 0 32 32" aria-hidden="true">
            <path d="M4 8h6v7h6v6h6v4h6" />
          </svg>
          Stepline
        </a>
        <nav aria-label={say(FRAME.main_menu)}>
          {link("/", SHARED.jobs)}
          {link("/datasets", DATASETS.title)}
          {link("/workers", SHARED.workers)}
          {link("/docs", FRAME.docs)}
        </nav>
        <span class="grow" />
        <button
          type="button"
          class="plain"
          lang={language.value === "zh" ? "en" : "zh-CN"}
          onClick={() => (language.value = language.value === "zh" ? "en" : "zh")}
        >
          {say(FRAME.other_language)}
        </button>
        <button
          type="button"
          class="plain"
          title={say(FRAME[`theme_${theme.value}`])}
          aria-label={say(FRAME[`theme_${theme.value}`])}
          onClick={() => (theme.value = THEMES[(THEMES.indexOf(theme.value) + 1) % THEMES.length]!)}
        >
          {{ auto: "◐", light: "☀", dark: "☾" }[theme.value]}
        </button>
        <button
          type="button"
          class="plain"
          title={say(FRAME.keys)}
          aria-label={say(FRAME.keys)}
          onClick={() => help.current?.showModal()}
        >
          ?
        </button>
      </header>
      <UnreachableBanner />
      <main id="main" tabIndex={-1}>
        <CurrentPage />
      </main>
      <Toast />
      <dialog ref={help} aria-label={say(FRAME.keys)}>
        <h2>{say(FRAME.keys)}</h2>
        <Keys />
        <div class="row end">
          <button type="button" onClick={() => help.current?.close()}>
            {say(FRAME.close)}
          </button>
        </div>
      </dialog>
    </div>
  );
}

const KEYS: [string, Text][] = [
  ["j", FRAME.key_next],
  ["k", FRAME.key_previous],
  ["Enter", FRAME.key_open],
  ["x", FRAME.key_choose],
  ["/", FRAME.key_search],
  ["g", FRAME.key_jobs],
  ["n", FRAME.key_new],
  ["l", FRAME.key_log_scale],
  ["s", FRAME.key_smoothing],
  ["w", FRAME.key_reset_zoom],
  ["m", FRAME.key_full_screen],
  ["f", FRAME.key_follow],
  ["?", FRAME.key_help],
];

function Keys() {
  return (
    <dl class="keys">
      {KEYS.map(([key, text]) => (
        <div key={key}>
          <dt>
            <kbd>{key}</kbd>
          </dt>
          <dd>{say(text)}</dd>
        </div>
      ))}
    </dl>
  );
}

/** While the server is unreachable: show a banner with the age of the data, and probe the server until it responds. */
function UnreachableBanner() {
  const isUnreachable = unreachableSince.value !== null;
  const now = useClock(isUnreachable);
  useEffect(() => {
    if (!isUnreachable) return;
    const timer = setInterval(() => void probe(), 2000);
    return () => clearInterval(timer);
  }, [isUnreachable]);
  if (!isUnreachable) return null;
  return (
    <p class="away" role="status">
      {say(FRAME.unreachable, { age: duration((now - lastResponseAt.value) / 1000) })}
    </p>
  );
}

render(<Frame />, document.getElementById("app")!);
