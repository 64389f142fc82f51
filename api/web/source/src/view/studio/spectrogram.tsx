// The worker's spectrograms on the page's time axis, with frequency labels and a legend.

import type { Signal } from "@preact/signals";
import { useCallback, useEffect, useState } from "preact/hooks";

import { closeAddress, closeLater, openAddress } from "../../api/media";
import { at } from "../../base";
import type { Picture } from "../../api/types";
import type { Span, Studio } from "../../state/studio";
import { formatFrequency } from "../../words/numbers";
import { colourRange, darkestLevel, spectrogramTitle, SPECTROGRAM_WORDS } from "../../words/studio";
import { Canvas } from "./canvas";
import { Lane } from "./lane";
import { Ruler } from "./ruler";
import { toneOf } from "./stem_colours";

const FREQUENCIES_HZ = [50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000];

/** The order of the pictures; others follow. */
const ORDER = ["mixture", "accompaniment", "vocals"];

export function Spectrograms({ studio }: { studio: Studio }) {
  const plain = studio.job.pictures.filter((picture) => picture.name !== "spectrogram");
  const rank = (name: string) => (ORDER.indexOf(name) + ORDER.length + 1) % (ORDER.length + 1);
  const panels = plain.sort((a, b) => rank(a.name) - rank(b.name));
  const figure = studio.job.pictures.find((picture) => picture.name === "spectrogram");
  const rangeDb = panels[0]?.range_db ?? 80;
  if (panels.length === 0) return null;
  return (
    <section class="panel inside" aria-labelledby="inside-title">
      <div class="panel-head">
        <h2 id="inside-title">{SPECTROGRAM_WORDS.title}</h2>
        <p class="quiet">{SPECTROGRAM_WORDS.legend}</p>
        {figure && <FigureLink figure={figure} />}
      </div>
      <div class="row ruler-row">
        <div class="lane-head" />
        <Ruler studio={studio} />
      </div>
      {panels.map((picture) => (
        <Panel key={picture.name} picture={picture} studio={studio} />
      ))}
      <div class="legend">
        <span>{darkestLevel(rangeDb)}</span>
        <div class="legend-bar" role="img" aria-label={colourRange(rangeDb)} />
        <span>{SPECTROGRAM_WORDS.peak}</span>
      </div>
    </section>
  );
}

function FigureLink({ figure }: { figure: Picture }) {
  const open = (event: Event) => {
    event.preventDefault();
    void openAddress(figure.url).then((address) => {
      window.open(address, "_blank", "noopener");
      closeLater(address);
    });
  };
  return (
    <a class="figure-link" href={at(figure.url)} target="_blank" rel="noopener" onClick={open}>
      {SPECTROGRAM_WORDS.open}
    </a>
  );
}

function Panel({ picture, studio }: { picture: Picture; studio: Studio }) {
  const image = usePicture(picture.url);
  return (
    <figure class="spectrogram">
      <figcaption class="lane-head">
        <span class={`stem-name ${toneOf(studio.job, picture.name)}`}>{spectrogramTitle(picture.name)}</span>
      </figcaption>
      <div class="spectrogram-body">
        <Frequencies picture={picture} />
        <Lane studio={studio} kind="spectrum">
          {image === "failed" && <p class="lane-note">{SPECTROGRAM_WORDS.failed}</p>}
          <PictureCanvas image={image instanceof Image ? image : null} duration={studio.duration} window={studio.window} />
        </Lane>
      </div>
    </figure>
  );
}

function Frequencies({ picture }: { picture: Picture }) {
  const { lowest_hz: low = 32.7, highest_hz: high = 22_050 } = picture;
  const height = (hz: number) => Math.log(hz / low) / Math.log(high / low);
  return (
    <div class="frequencies" aria-hidden="true">
      {FREQUENCIES_HZ.filter((hz) => hz > low && height(hz) < 0.98).map((hz) => (
        <span key={hz} style={{ bottom: `${height(hz) * 100}%` }}>
          {formatFrequency(hz)}
        </span>
      ))}
    </div>
  );
}

interface PictureProps {
  image: HTMLImageElement | null;
  duration: number;
  window: Signal<Span>;
}

function PictureCanvas({ image, duration, window }: PictureProps) {
  const draw = useCallback(
    (pen: CanvasRenderingContext2D, width: number, height: number) => {
      const { from, to } = window.value;
      if (!image) return;
      const start = (from / duration) * image.naturalWidth;
      const length = ((to - from) / duration) * image.naturalWidth;
      pen.drawImage(image, start, 0, length, image.naturalHeight, 0, 0, width, height);
    },
    [image, duration],
  );
  return <Canvas draw={draw} />;
}

function usePicture(url: string): HTMLImageElement | "failed" | null {
  const [image, setImage] = useState<HTMLImageElement | "failed" | null>(null);
  useEffect(() => {
    let address = "";
    let wanted = true;
    const load = async () => {
      address = await openAddress(url);
      if (!wanted) return closeAddress(address);
      const loading = new Image();
      loading.src = address;
      await loading.decode();
      if (wanted) setImage(loading);
    };
    load().catch(() => wanted && setImage("failed"));
    return () => {
      wanted = false;
      closeAddress(address);
    };
  }, [url]);
  return image;
}
