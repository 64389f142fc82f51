// The page's frame: head, library at the side, and what is open in the middle.

import { useEffect } from "preact/hooks";

import { awaySince } from "../api/client";
import { forgetKey, key } from "../api/key";
import { follow, go, isHome, openBatch, openJob } from "../routes";
import { hovering, takeDrops } from "../state/dropping";
import { fault } from "../state/library";
import { Batches } from "./batches/batches";
import { Home, take } from "./home/home";
import { Icon } from "./icons";
import { JobView } from "./job/job_view";
import { KeyDialog } from "./key_dialog";
import { Library } from "./library";
import { Uploads } from "./home/uploads";

export function Page() {
  const id = openJob.value;
  const batch = openBatch.value;
  const atHome = isHome();
  useEffect(() => {
    if (atHome) document.title = "stemqueue";
  }, [atHome]);
  useEffect(() => {
    const stop = new AbortController();
    const receive = (files: Iterable<File>) => {
      go("/");
      take(files);
    };
    takeDrops(receive, stop.signal);
    return () => stop.abort();
  }, []);
  return (
    <div class={atHome ? "shell at-home" : "shell at-job"}>
      <header class="top">
        <a class="brand" href="/" onClick={follow}>
          <img src="/static/icon.svg" alt="" width="28" height="28" />
          stemqueue
        </a>
        <nav aria-label="More" class="button-row">
          {!atHome && (
            <a class="button small" href="/" onClick={follow}>
              <Icon name="plus" /> New song
            </a>
          )}
          {key.value && (
            <button type="button" class="small" onClick={forgetKey}>
              <Icon name="key" /> Forget the key
            </button>
          )}
          <a class="quiet-link" href="/docs">
            API
          </a>
        </nav>
      </header>
      <main>
        <Banner />
        {id !== null ? <JobView key={id} id={id} /> : batch !== null ? <Batches id={batch} /> : <Home />}
      </main>
      <aside class="side" aria-label="Library">
        {!atHome && <Uploads />}
        <Library />
      </aside>
      <KeyDialog />
      {!atHome && hovering.value && (
        <div class="veil">
          <p>Let go</p>
        </div>
      )}
    </div>
  );
}

function Banner() {
  const away = awaySince.value !== null;
  const text = away ? "The server does not answer. This page goes on by itself when it is back." : fault.value;
  return (
    <div role="status" class="banner-place">
      {text && <p class="banner">{text}</p>}
    </div>
  );
}
