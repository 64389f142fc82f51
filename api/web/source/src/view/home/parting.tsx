// A picture of what the product does: a voice and its accompaniment, together or apart. It is decoration without meaning of
// its own.

const BARS = 44;
const STEP = 7;
const HEIGHT = 132;
const MIDDLE = HEIGHT / 2;

/** How far each of the two moves from the middle. */
const DISTANCE = 33;

const places = Array.from({ length: BARS }, (_, i) => i);
/** A beat that decays; every fourth bar is strong. */
const music = places.map((i) => 11 + 12 * [1, 0.35, 0.6, 0.25][i % 4]! + 4 * Math.sin(i * 1.7));
/** Phrases with rests between them. */
const voice = places.map((i) => Math.max(0, Math.sin(i * 0.43 + 0.4)) * (17 + 7 * Math.sin(i * 2.9)));

export function Parting({ apart }: { apart: number }) {
  return (
    <svg class="parting" viewBox={`0 0 ${BARS * STEP} ${HEIGHT}`} aria-hidden="true">
      <Bars heights={music} kind="accompaniment" shift={apart * DISTANCE} />
      <Bars heights={voice} kind="vocals" shift={-apart * DISTANCE} />
    </svg>
  );
}

function Bars({ heights, kind, shift }: { heights: number[]; kind: string; shift: number }) {
  const path = heights.map((height, i) => (height < 1 ? "" : `M${i * STEP + STEP / 2} ${MIDDLE - height}v${2 * height}`)).join("");
  return <path class={`bars of-${kind}`} d={path} style={{ transform: `translateY(${shift}px)` }} />;
}
