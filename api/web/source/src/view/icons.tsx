// Icons in the colour of the text. They are decoration: their meaning always stands beside them as text.

const PATHS = {
  play: "M5 3.5v13l11-6.5z",
  pause: "M5 3.5h3.5v13H5zM11.5 3.5H15v13h-3.5z",
  download: "M10 3v9m-4-3.5 4 4 4-4M3.5 16.5h13",
  loop: "M4 9V8a3 3 0 0 1 3-3h9m-2.5-2.5L16 5l-2.5 2.5M16 11v1a3 3 0 0 1-3 3H4m2.5 2.5L4 15l2.5-2.5",
  close: "M5 5l10 10M15 5 5 15",
  plus: "M10 4.5v11M4.5 10h11",
  minus: "M4.5 10h11",
  whole: "M3 10h14M3 10l3-3m-3 3 3 3m11-3-3-3m3 3-3 3",
  span: "M4 4v12M16 4v12M7 10h6m-4.5-1.5L7 10l1.5 1.5m3-3L13 10l-1.5 1.5",
  back: "M12 4 6 10l6 6",
  search: "M9 4a5 5 0 1 0 0 10A5 5 0 0 0 9 4zm3.7 8.7L16.5 16.5",
  upload: "M10 13V4m-4 4 4-4 4 4M3.5 16.5h13",
  keys: "M2.5 5.5h15v9h-15zM5.5 8.5h.01M8.5 8.5h.01M11.5 8.5h.01M14.5 8.5h.01M7 11.5h6",
  key: "M7 8a3.5 3.5 0 1 0 0 4h4l1.5 1.5L14 12l1.5 1.5L17 12l-2-4zM5.5 10h.01",
} as const;

const FILLED = new Set<string>(["play", "pause"]);

export function Icon({ name }: { name: keyof typeof PATHS }) {
  return (
    <svg class={FILLED.has(name) ? "icon filled" : "icon"} viewBox="0 0 20 20" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  );
}
