// The page's frame: the header, the library at the side, and the open view in the middle.

import { useEffect } from "preact/hooks";

import { at } from "../base";
import { awaySince } from "../api/client";
import { forgetKey, key } from "../api/key";
import { followLink, go, HOME_PATH, isHome, openBatch, openJob } from "../routes";
import { hovering, takeDrops } from "../state/dropping";
import { fault } from "../state/library";
import { Batches } from "./batches/batches";
import { HOME_WORDS } from "../words/home";
import { documentTitle } from "../words/jobs";
import { LIBRARY_WORDS, PAGE_WORDS } from "../words/page";
import { Home, uploadFiles } from "./home/home";
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
    if (atHome) document.title = documentTitle();
  }, [atHome]);
  useEffect(() => {
    const stop = new AbortController();
    const receive = (files: Iterable<File>) => {
      go(HOME_PATH);
      uploadFiles(files);
    };
    takeDrops(receive, stop.signal);
    return () => stop.abort();
  }, []);
  return (
    <div class={atHome ? "shell at-home" : "shell at-job"}>
      <header class="top">
        <a class="brand" href={HOME_PATH} onClick={followLink}>
          <img src={at("/static/icon.svg")} alt="" width="28" height="28" />
          {PAGE_WORDS.name}
        </a>
        <nav aria-label={PAGE_WORDS.navigation} class="button-row">
          {!atHome && (
            <a class="button small" href={HOME_PATH} onClick={followLink}>
              <Icon name="plus" /> {PAGE_WORDS.newSong}
            </a>
          )}
          {key.value && (
            <button type="button" class="small" onClick={forgetKey}>
              <Icon name="key" /> {PAGE_WORDS.forgetKey}
            </button>
          )}
          <a class="quiet-link" href={at("/docs")}>
            {PAGE_WORDS.api}
          </a>
        </nav>
      </header>
      <main>
        <Banner />
        {id !== null ? <JobView key={id} id={id} /> : batch !== null ? <Batches id={batch} /> : <Home />}
      </main>
      <aside class="side" aria-label={LIBRARY_WORDS.title}>
        {!atHome && <Uploads />}
        <Library />
      </aside>
      <KeyDialog />
      {!atHome && hovering.value && (
        <div class="veil">
          <p>{HOME_WORDS.release}</p>
        </div>
      )}
    </div>
  );
}

function Banner() {
  const away = awaySince.value !== null;
  const text = away ? PAGE_WORDS.serverAway : fault.value;
  return (
    <div role="status" class="banner-place">
      {text && <p class="banner">{text}</p>}
    </div>
  );
}
