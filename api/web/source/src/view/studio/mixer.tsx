// The mixer: transport, one lane for each stem and one for the mixture, all over one time axis.

import { useSignal } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";

import { download } from "../../api/media";
import { requestJson } from "../../api/client";
import type { Output, Waveform } from "../../api/types";
import type { Strip, Studio } from "../../state/studio";
import { capitalised, formatBytes } from "../../words/jobs";
import { Icon } from "../icons";
import { letGoAfterClick } from "./keyboard";
import { Lane } from "./lane";
import { Meter } from "./meter";
import { Ruler } from "./ruler";
import { SaveMix } from "./save_mix";
import { toneOf } from "./stem_colours";
import { LoopButtons, ZoomButtons } from "./toolbar";
import { WaveformCanvas } from "./waveform";

export function Mixer({ studio }: { studio: Studio }) {
  const outlines = useOutlines(studio.job.waveforms);
  const loudest = loudestOf(Object.values(outlines));
  return (
    <section class={`panel mixer${studio.hearingMixture.value ? " hearing-mixture" : ""}`} aria-labelledby="mixer-title" onClick={letGoAfterClick}>
      <div class="panel-head toolbar">
        <h2 id="mixer-title">Mixer</h2>
        <LoopButtons studio={studio} />
        <ZoomButtons studio={studio} />
      </div>
      <div class="lanes">
        <div class="row ruler-row">
          <div class="lane-head" />
          <Ruler studio={studio} seekable />
        </div>
        {studio.strips.map((strip) => (
          <StemRow key={strip.stem.name} strip={strip} studio={studio} outline={outlines[strip.stem.name] ?? null} loudest={loudest} />
        ))}
        {studio.job.waveforms.some((waveform) => waveform.name === "mixture") && (
          <div class="row mixture-row of-mixture">
            <div class="lane-head">
              <span class="stem-name">Original</span>
            </div>
            <Lane studio={studio} kind="wave">
              <WaveformCanvas outline={outlines.mixture ?? null} loudest={loudest} window={studio.window} />
            </Lane>
          </div>
        )}
      </div>
      <SaveMix studio={studio} />
    </section>
  );
}

interface StemRowProps {
  strip: Strip;
  studio: Studio;
  outline: Waveform | null;
  loudest: number;
}

function StemRow({ strip, studio, outline, loudest }: StemRowProps) {
  const { name } = strip.stem;
  const silent = studio.isSilenced(strip);
  return (
    <div class={`row stem-row ${toneOf(studio.job, name)}${silent ? " silent" : ""}`} role="group" aria-label={capitalised(name)}>
      <div class="lane-head">
        <span class="stem-name">
          {capitalised(name)}
          {strip.volume.value < 1 && <span class="quiet"> {Math.round(strip.volume.value * 100)} %</span>}
        </span>
        <VolumeSlider strip={strip} />
        <span class="strip-buttons">
          <Toggle label={`Solo ${name}`} short="S" title="Hear this stem alone" state={strip.solo} />
          <Toggle label={`Mute ${name}`} short="M" title="Silence this stem" state={strip.muted} />
          <DownloadButton stem={strip.stem} />
        </span>
        <Meter strip={strip} studio={studio} />
      </div>
      <Lane studio={studio} kind="wave">
        <WaveformCanvas outline={outline} loudest={loudest} window={studio.window} />
        {strip.stem.silent && <p class="lane-note">As good as silent</p>}
      </Lane>
    </div>
  );
}

interface ToggleProps {
  label: string;
  short: string;
  title: string;
  state: Strip["solo"];
}

function Toggle({ label, short, title, state }: ToggleProps) {
  return (
    <button
      type="button"
      class={`toggle toggle-${short.toLowerCase()}`}
      aria-label={label}
      aria-pressed={state.value}
      title={title}
      onClick={() => (state.value = !state.value)}
    >
      {short}
    </button>
  );
}

function VolumeSlider({ strip }: { strip: Strip }) {
  const percent = Math.round(strip.volume.value * 100);
  return (
    <input
      class="volume"
      type="range"
      min={0}
      max={100}
      value={percent}
      aria-label={`Volume of ${strip.stem.name}`}
      aria-valuetext={`${percent} percent`}
      title="A double click sets it to 100 %"
      onDblClick={() => (strip.volume.value = 1)}
      onInput={(event) => (strip.volume.value = Number(event.currentTarget.value) / 100)}
    />
  );
}

function DownloadButton({ stem }: { stem: Output & { format: string } }) {
  const failed = useSignal(false);
  const save = () => {
    failed.value = false;
    download(stem.url, stem.filename).catch(() => (failed.value = true));
  };
  const label = `Download ${stem.name} as ${stem.format.toUpperCase()}, ${formatBytes(stem.size_bytes)}`;
  return (
    <button type="button" class={failed.value ? "toggle warned" : "toggle"} aria-label={label} title={label} onClick={save}>
      <Icon name="download" />
    </button>
  );
}

/** Returns the largest sample of all outlines, which fills a lane: so a quiet stem looks quiet beside a loud one. */
function loudestOf(outlines: Waveform[]): number {
  return outlines.reduce((most, { peaks }) => peaks.reduce((m, peak) => Math.max(m, Math.abs(peak)), most), 1);
}

function useOutlines(waveforms: Output[]): Record<string, Waveform> {
  const [outlines, setOutlines] = useState<Record<string, Waveform>>({});
  useEffect(() => {
    const stop = new AbortController();
    for (const { name, url } of waveforms) {
      requestJson<Waveform>(url, { signal: stop.signal }).then(
        (outline) => setOutlines((known) => ({ ...known, [name]: outline })),
        // Without its outline a lane shows a line; everything else works.
        () => undefined,
      );
    }
    return () => stop.abort();
  }, [waveforms]);
  return outlines;
}
