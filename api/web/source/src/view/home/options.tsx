// The options for the next job: how much of the song, and behind a disclosure its engine, preset and format.

import { engines, enginesFault, offeredFormats } from "../../state/engines";
import {
  audioStream,
  chosenEngine,
  chosenExcerpt,
  chosenFormat,
  MAX_AUDIO_STREAM,
  options,
  part,
  TRY_SECONDS,
  type Part,
} from "../../state/options";
import type { Engine, Preset } from "../../api/types";
import { audioStreamWords, engineFacts, formatWords, OPTION_WORDS, presetWords, trialWords } from "../../words/home";
import { joinWords } from "../../words/jobs";

export function PartChoice() {
  const choice = (value: Part, words: string) => (
    <label class="choice">
      <input type="radio" name="part" checked={part.value === value} onChange={() => (part.value = value)} />
      {words}
    </label>
  );
  return (
    <fieldset class="parts">
      <legend class="unseen">{OPTION_WORDS.part}</legend>
      <span class="segmented">
        {choice("whole", OPTION_WORDS.whole)}
        {choice("try", trialWords(TRY_SECONDS))}
        {choice("chosen", OPTION_WORDS.chosen)}
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
      {OPTION_WORDS.seconds}
    </label>
  );
  return (
    <span class="chosen-part">
      {field("start", OPTION_WORDS.from, 0)}
      {field("duration", OPTION_WORDS.for, 1)}
    </span>
  );
}

export function OptionsPanel() {
  const known = engines.value;
  const engine = chosenEngine.value;
  return (
    <details class="options">
      <summary>
        {OPTION_WORDS.summary} <span class="quiet">{summaryOf(engine)}</span>
      </summary>
      {!known && <p class="quiet">{enginesFault.value ?? OPTION_WORDS.loading}</p>}
      {known && (
        <div class="fields">
          {engine && <EngineFields engine={engine} all={known.engines} />}
          <label class="field">
            {OPTION_WORDS.format}
            <select
              value={chosenFormat.value}
              onChange={(event) => (options.value = { ...options.value, format: event.currentTarget.value })}
            >
              {offeredFormats(engine).map(({ name }) => (
                <option key={name} value={name}>
                  {formatWords(name)}
                </option>
              ))}
            </select>
          </label>
          <details class="more-options">
            <summary>{OPTION_WORDS.more}</summary>
            <AudioStreamField />
          </details>
        </div>
      )}
    </details>
  );
}

function AudioStreamField() {
  return (
    <label class="field">
      {OPTION_WORDS.audioStream}
      <input
        type="number"
        min={1}
        max={MAX_AUDIO_STREAM}
        placeholder={OPTION_WORDS.mainStream}
        value={audioStream.value ?? ""}
        onChange={(event) => {
          const number = Math.round(event.currentTarget.valueAsNumber);
          audioStream.value = number >= 1 ? Math.min(number, MAX_AUDIO_STREAM) : null;
          event.currentTarget.value = String(audioStream.value ?? "");
        }}
      />
      <span class="quiet">{OPTION_WORDS.audioStreamHint}</span>
    </label>
  );
}

function EngineFields({ engine, all }: { engine: Engine; all: Engine[] }) {
  const preset = presetOf(engine);
  return (
    <>
      <label class="field">
        {OPTION_WORDS.engine}
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
        {engineFacts(engine, preset).map((fact) => (
          <span class="quiet" key={fact}>
            {fact}
          </span>
        ))}
      </label>
      <label class="field">
        {OPTION_WORDS.preset}
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

function summaryOf(engine: Engine | undefined): string {
  const stream = audioStream.value === null ? null : audioStreamWords(audioStream.value);
  return joinWords([engine?.title, engine && presetOf(engine)?.name, chosenFormat.value.toUpperCase(), stream]);
}
