// For practising: play slower, transpose, and let loops snap to the beats.

import type { Signal } from "@preact/signals";

import { MOST_SEMITONES, SLOWEST, type Studio } from "../../state/studio";
import { pitchWords, PRACTICE_WORDS, speedWords, tempoWords } from "../../words/studio";

const SPEED_STEP = 0.05;

const SPEEDS = Array.from({ length: Math.round((1 - SLOWEST) / SPEED_STEP) + 1 }, (_, i) => rounded(1 - i * SPEED_STEP));
const PITCHES = Array.from({ length: 2 * MOST_SEMITONES + 1 }, (_, i) => MOST_SEMITONES - i);

export function Practice({ studio }: { studio: Studio }) {
  const { speed, semitones, beats } = studio;
  const facts = tempoWords(beats.tempo, beats.key, speed.value, semitones.value);
  return (
    <div class="practice" role="group" aria-label={PRACTICE_WORDS.label}>
      <Choice words={PRACTICE_WORDS.speed} choices={SPEEDS} chosen={speed} label={speedWords} />
      <Choice words={PRACTICE_WORDS.pitch} choices={PITCHES} chosen={semitones} label={pitchWords} />
      {beats.times.value.length > 1 && (
        <label class="snap">
          <input type="checkbox" checked={beats.snapping.value} onChange={(event) => studio.snapLoops(event.currentTarget.checked)} />
          {PRACTICE_WORDS.snap}
        </label>
      )}
      {facts && <span class="quiet">{facts}</span>}
    </div>
  );
}

interface ChoiceProps {
  words: string;
  choices: readonly number[];
  chosen: Signal<number>;
  label: (value: number) => string;
}

function Choice({ words, choices, chosen, label }: ChoiceProps) {
  // An address may ask for a value between the choices.
  const all = choices.includes(chosen.value) ? choices : [chosen.value, ...choices];
  return (
    <label class="field inline">
      {words}
      <select value={chosen.value} onChange={(event) => (chosen.value = Number(event.currentTarget.value))}>
        {all.map((value) => (
          <option key={value} value={value}>
            {label(value)}
          </option>
        ))}
      </select>
    </label>
  );
}

/** Plays slower or faster by one step, for the keyboard. */
export function changeSpeed({ speed }: Studio, steps: number): void {
  speed.value = Math.max(SLOWEST, Math.min(rounded(speed.value + steps * SPEED_STEP), 1));
}

function rounded(speed: number): number {
  return Math.round(speed * 100) / 100;
}
