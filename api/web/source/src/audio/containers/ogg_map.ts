// Where the pages of one stream of an Ogg file are: learned from the pieces that are read, as far as it is asked for.

import { NotSegmentable } from "./cuttable";
import { findPages, type Page } from "./ogg_pages";
import type { ReadRange } from "../playback/ranges";

/** What is read at once while looking for a page: holds two of the longest. */
const PROBE_BYTES = 1 << 17;

/** So often the page is looked for by its share of the bytes, then by halves: few files are that uneven. */
const SHARES = 6;
const MOST_TRIES = 32;

export class OggMap {
  /** Pages on which packets end, by their places in the file. */
  private readonly known = new Map<number, Page>();
  /** Which of them follows which. */
  private readonly next = new Map<Page, Page>();

  private constructor(
    private readonly read: ReadRange,
    private readonly size: number,
    private readonly serial: number,
  ) {}

  first!: Page;
  last!: Page;

  /** `start` is where the pages with sound begin. */
  static async open(read: ReadRange, size: number, serial: number, start: number): Promise<OggMap> {
    const map = new OggMap(read, size, serial);
    const [first] = await map.learn(start);
    const last = (await map.learn(Math.max(start, size - PROBE_BYTES))).at(-1);
    if (!first || !last) throw new NotSegmentable("The Ogg file does not end with the stream that it begins with.");
    map.first = first;
    map.last = last;
    return map;
  }

  after(page: Page): Page | undefined {
    return this.next.get(page);
  }

  /** Returns the last page that ends at or before a position; null where even the first ends after it. */
  async before(position: number): Promise<Page | null> {
    if (this.first.granule > position) return null;
    for (let tries = 0; tries < MOST_TRIES; tries++) {
      const [below, above] = this.neighbours(position);
      if (this.next.has(below) || !above) return below;
      const share = tries < SHARES ? (position - below.granule) / (above.granule - below.granule) : 0.5;
      const guess = below.offset + share * (above.offset - below.offset) - PROBE_BYTES / 2;
      await this.learn(Math.floor(Math.max(below.offset, Math.min(guess, above.end - PROBE_BYTES))));
    }
    throw new NotSegmentable(`The page at ${position} was not found.`);
  }

  /** Reads a piece, and returns the stream's pages in it. */
  private async learn(start: number): Promise<Page[]> {
    const bytes = await this.read(start, Math.min(this.size, start + PROBE_BYTES));
    const learned: Page[] = [];
    for (const run of findPages(bytes, start)) {
      let previous: Page | undefined;
      for (const page of run) {
        if (page.serial !== this.serial || page.granule < 0) continue;
        const known = this.known.get(page.offset) ?? page;
        this.known.set(known.offset, known);
        if (previous) this.next.set(previous, known);
        previous = known;
        learned.push(known);
      }
    }
    return learned;
  }

  /** Returns the last known page that ends at or before a position, and the first that ends after it. */
  private neighbours(position: number): [Page, Page | undefined] {
    let below = this.first;
    let above: Page | undefined;
    for (const page of this.known.values()) {
      if (page.granule <= position && page.offset >= below.offset) below = page;
      if (page.granule > position && (!above || page.offset < above.offset)) above = page;
    }
    return [below, above];
  }
}
