// The page's logic: it calls the API as any other client does. Whatever a file is called reaches the page as text.

const POLL_MILLISECONDS = 1500;
const ENDED = new Set(["succeeded", "failed", "canceled"]);

const element = (id) => document.getElementById(id);
const form = element("submit");
const shown = new Map(); // job id -> list item
let engines = [];
let older = null;

async function call(path, options) {
  const response = await fetch(path, options);
  if (response.status === 204) return null;
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.detail ?? `The server answered ${response.status}.`);
  return answer;
}

function say(text) {
  element("message").textContent = text;
}

function fill(select, names, chosen) {
  select.replaceChildren(...names.map((name) => new Option(name, name, name === chosen, name === chosen)));
}

async function loadEngines() {
  const answer = await call("/v1/engines");
  engines = answer.engines;
  fill(form.engine, engines.map((e) => e.name), answer.default_engine);
  fill(form.format, answer.formats.map((f) => f.name), "flac");
  loadPresets();
  if (!engines.length) say("No worker is running: jobs wait until one is.");
}

function loadPresets() {
  const engine = engines.find((e) => e.name === form.engine.value);
  fill(form.preset, engine ? engine.presets.map((p) => p.name) : [], engine?.default_preset);
}

// XMLHttpRequest, since fetch tells nothing of an upload's progress.
function upload(fields) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const bar = element("sent");
    bar.hidden = false;
    request.open("POST", "/v1/jobs");
    request.responseType = "json";
    request.upload.onprogress = (event) => { bar.value = event.loaded / event.total; };
    request.onerror = () => reject(new Error("The server does not answer."));
    request.onload = () => request.status === 202
      ? resolve(request.response)
      : reject(new Error(request.response?.detail ?? `The server answered ${request.status}.`));
    request.onloadend = () => { bar.hidden = true; bar.value = 0; };
    request.send(fields);
  });
}

function stateText(job) {
  const parts = [job.state === "running" ? job.stage ?? "running" : job.state];
  if (job.state === "queued" && job.queue_position) parts.push(`place ${job.queue_position}`);
  if (!ENDED.has(job.state) && job.eta_seconds !== null) parts.push(`about ${Math.ceil(job.eta_seconds)} s left`);
  if (job.error) parts.push(job.error.message);
  if (job.state === "succeeded") parts.push(`${job.engine} ${job.preset ?? ""}`);
  return parts.join(", ");
}

function show(job, first = false) {
  let item = shown.get(job.id);
  if (!item) {
    item = element("job").content.firstElementChild.cloneNode(true);
    item.querySelector(".name").textContent = job.source.filename;
    for (const button of item.querySelectorAll("button")) {
      button.addEventListener("click", () => act(job.id, button.dataset.call));
    }
    shown.set(job.id, item);
    first ? element("jobs").prepend(item) : element("jobs").append(item);
  }
  const finishedNow = job.state === "succeeded" && item.dataset.state !== "succeeded";
  item.dataset.state = job.state;
  item.className = `job ${job.state}`;
  item.querySelector(".state").textContent = stateText(job);
  const bar = item.querySelector("progress");
  bar.value = job.progress;
  bar.hidden = ENDED.has(job.state);
  item.querySelector("[data-call=cancel]").hidden = !job.links.cancel;
  item.querySelector("[data-call=retry]").hidden = !job.links.retry;
  item.querySelector("[data-call=delete]").hidden = !ENDED.has(job.state);
  if (finishedNow) showOutputs(job, item.querySelector(".stems"));
  element("none").hidden = shown.size > 0;
}

function showOutputs(job, place) {
  const mixture = { name: "mixture", url: job.links.source };
  const players = [...job.stems, mixture].map((stem) => {
    const figure = element("stem").content.firstElementChild.cloneNode(true);
    figure.querySelector(".name").textContent = stem.name;
    figure.querySelector("a").href = stem.url;
    const audio = figure.querySelector("audio");
    audio.src = stem.url;
    audio.setAttribute("aria-label", `${stem.name} of ${job.source.filename}`);
    return figure;
  });
  const picture = job.pictures.find((p) => p.name === "spectrogram");
  if (picture) {
    const image = new Image();
    image.loading = "lazy";
    image.src = picture.url;
    image.alt = "Spectrograms of the mixture and its stems, one above the other";
    players.push(image);
  }
  place.replaceChildren(...players);
}

async function act(id, what) {
  try {
    if (what === "delete") {
      await call(`/v1/jobs/${id}`, { method: "DELETE" });
      shown.get(id).remove();
      shown.delete(id);
      element("none").hidden = shown.size > 0;
    } else {
      show(await call(`/v1/jobs/${id}/${what}`, { method: "POST" }));
    }
    say("");
  } catch (error) {
    say(error.message);
  }
}

async function poll() {
  try {
    const waiting = [...shown].filter(([, item]) => !ENDED.has(item.dataset.state)).map(([id]) => id);
    for (const job of await Promise.all(waiting.slice(0, 20).map((id) => call(`/v1/jobs/${id}`)))) show(job);
  } catch (error) {
    say(error.message);
  }
  setTimeout(poll, POLL_MILLISECONDS);
}

async function loadJobs() {
  const page = await call(`/v1/jobs?limit=20${older ? `&starting_after=${older}` : ""}`);
  for (const job of page.jobs) show(job);
  older = page.next_starting_after;
  element("more").hidden = !page.has_more;
}

form.engine.addEventListener("change", loadPresets);
element("more").addEventListener("click", () => loadJobs().catch((error) => say(error.message)));
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  say("");
  try {
    show(await upload(new FormData(form)), true);
    form.file.value = "";
  } catch (error) {
    say(error.message);
  }
});

Promise.all([loadEngines(), loadJobs()]).catch((error) => say(error.message)).finally(poll);
