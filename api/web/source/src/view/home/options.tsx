// What the next job is to be: how much of the song, and behind a disclosure engine, preset and format.

import { defaultEngine, engines, enginesFault } from "../../state/engines";
import { chosenExcerpt, options, part, TRY_SECONDS, type Part } from "../../state/options";
import type { Engine, Preset } from "../../api/types";

const FORMAT_WORDS: Record<string, string> = {
  flac: "FLAC, lossless and compact",
  wav: "WAV, lossless, for any editor",
  mp3: "MP3, small, plays anywhere",
  ogg: "Ogg Vorbis, small",
  opus: "Opus, smallest",
  m4a: "M4A (AAC), small",
};

export function PartChoice() {
  const choice = (value: Part, words: string) => (
    <label class="choice">
      <input type="radio" name="part" checked={part.value === value} onChange={() => (part.value = value)} />
      {words}
    </label>
  );
  return (
    <fieldset class="parts">
      <legend class="unseen">How much of the song</legend>
      <span class="segmented">
        {choice("whole", "The whole song")}
        {choice("try", `Try ${TRY_SECONDS} seconds first`)}
        {choice("chosen", "A part")}
      </span>
      {part.value === "chosen" && <ChosenPart />}
    </fieldset>
  );
}

function ChosenPart() {
  const field = (name: "start" | "duration", words: string, min: number) => (
    <label class="field inline">
      {words}
      <input
        type="number"
        min={min}
        step="any"
        value={chosenExcerpt.value[name]}
        onChange={(event) => {
          const value = Math.max(min, event.currentTarget.valueAsNumber || min);
          chosenExcerpt.value = { ...chosenExcerpt.value, [name]: value };
        }}
      />
      s
    </label>
  );
  return (
    <span class="chosen-part">
      {field("start", "from", 0)}
      {field("duration", "for", 1)}
    </span>
  );
}

export function OptionsPanel() {
  const known = engines.value;
  const engine = known?.engines.find((e) => e.name === options.value.engine) ?? defaultEngine.value;
  return (
    <details class="options">
      <summary>
        Engine and format <span class="quiet">{summaryOf(engine)}</span>
      </summary>
      {!known && <p class="quiet">{enginesFault.value ?? "Asking the server what it can do…"}</p>}
      {known && (
        <div class="fields">
          {engine && <EngineFields engine={engine} all={known.engines} />}
          <label class="field">
            Format
            <select
              value={options.value.format}
              onChange={(event) => (options.value = { ...options.value, format: event.currentTarget.value })}
            >
              {known.formats.map(({ name }) => (
                <option key={name} value={name}>
                  {FORMAT_WORDS[name] ?? name}
                </option>
              ))}
            </select>
          </label>
        </div>
      )}
    </details>
  );
}

function EngineFields({ engine, all }: { engine: Engine; all: Engine[] }) {
  const preset = presetOf(engine);
  return (
    <>
      <label class="field">
        Engine
        <select
          value={engine.name}
          onChange={(event) => (options.value = { ...options.value, engine: event.currentTarget.value, preset: "" })}
        >
          {all.map(({ name, title }) => (
            <option key={name} value={name}>
              {title}
            </option>
          ))}
        </select>
        <span class="quiet">{engine.summary}</span>
      </label>
      <label class="field">
        Preset
        <select
          value={preset?.name}
          onChange={(event) =>
            (options.value = { ...options.value, engine: engine.name, preset: event.currentTarget.value })
          }
        >
          {engine.presets.map(({ name }) => (
            <option key={name} value={name}>
              {name}
            </option>
          ))}
        </select>
        <span class="quiet">{preset && presetWords(preset)}</span>
      </label>
    </>
  );
}

function presetOf(engine: Engine): Preset | undefined {
  const wanted = options.value.engine === engine.name ? options.value.preset : "";
  return engine.presets.find((p) => p.name === (wanted || engine.default_preset));
}

function presetWords(preset: Preset): string {
  const longest = preset.max_seconds ? ` Songs of up to ${Math.round(preset.max_seconds / 60)} min.` : "";
  return preset.description + longest;
}

function summaryOf(engine: Engine | undefined): string {
  const words = [engine?.title, engine && presetOf(engine)?.name, options.value.format.toUpperCase()];
  return words.filter(Boolean).join(" · ");
}
