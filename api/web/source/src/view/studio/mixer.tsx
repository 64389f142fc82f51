// The mixer: one lane for each stem and one for the original, on a common time axis.

import { useSignal } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";

import { download } from "../../api/media";
import { requestJson } from "../../api/client";
import type { Output, Waveform } from "../../api/types";
import type { Strip, Studio } from "../../state/studio";
import { capitalised } from "../../words/numbers";
import { downloadLabel, MIXER_WORDS, muteLabel, soloLabel, volumeLabel, volumeNote, volumeWords } from "../../words/studio";
import { Icon } from "../icons";
import { blurAfterClick } from "./keyboard";
import { Lane } from "./lane";
import { Meter } from "./meter";
import { Practice } from "./practice";
import { Ruler } from "./ruler";
import { SaveMix } from "./save_mix";
import { toneOf } from "./stem_colours";
import { LoopButtons, ZoomButtons } from "./toolbar";
import { WaveformCanvas } from "./waveform";

export function Mixer({ studio }: { studio: Studio }) {
  const outlines = useOutlines(studio.job.waveforms);
  const loudest = loudestOf(Object.values(outlines));
  return (
    <section class={`panel mixer${studio.hearingMixture.value ? " hearing-mixture" : ""}`} aria-labelledby="mixer-title" onClick={blurAfterClick}>
      <div class="panel-head toolbar">
        <h2 id="mixer-title">{MIXER_WORDS.title}</h2>
        <LoopButtons studio={studio} />
        <ZoomButtons studio={studio} />
      </div>
      <Practice studio={studio} />
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
              <span class="stem-name">{MIXER_WORDS.original}</span>
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
          {strip.volume.value < 1 && <span class="quiet">{volumeNote(strip.volume.value)}</span>}
        </span>
        <VolumeSlider strip={strip} />
        <span class="strip-buttons">
          <Toggle label={soloLabel(name)} short="S" title={MIXER_WORDS.solo} state={strip.solo} />
          <Toggle label={muteLabel(name)} short="M" title={MIXER_WORDS.mute} state={strip.muted} />
          <DownloadButton stem={strip.stem} />
        </span>
        <Meter strip={strip} studio={studio} />
      </div>
      <Lane studio={studio} kind="wave">
        <WaveformCanvas outline={outline} loudest={loudest} window={studio.window} />
        {strip.stem.silent && <p class="lane-note">{MIXER_WORDS.silent}</p>}
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
      aria-label={volumeLabel(strip.stem.name)}
      aria-valuetext={volumeWords(percent)}
      title={MIXER_WORDS.resetVolume}
      onDblClick={() => (strip.volume.value = 1)}
      onInput={(event) => (strip.volume.value = Number(event.currentTarget.value) / 100)}
    />
  );
}

export function DownloadButton({ stem }: { stem: Output & { format: string } }) {
  const failed = useSignal(false);
  const save = () => {
    failed.value = false;
    download(stem.url, stem.filename).catch(() => (failed.value = true));
  };
  const label = downloadLabel(stem);
  return (
    <button type="button" class={failed.value ? "toggle warned" : "toggle"} aria-label={label} title={label} onClick={save}>
      <Icon name="download" />
    </button>
  );
}

/** Returns the largest sample of all outlines, which fills a lane. So a quiet stem looks quiet beside a loud one. */
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
        // Without its outline, a lane shows a straight line.
        () => undefined,
      );
    }
    return () => stop.abort();
  }, [waveforms]);
  return outlines;
}
