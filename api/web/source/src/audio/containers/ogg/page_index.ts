// Finds pages of one stream in an Ogg file by their positions. Remembers every page that it has seen, and reads only as
// much of the file as it needs.

import { UnsupportedFile, type ReadRange } from "../audio_file";
import { findPages, type Page } from "./pages";

/** How much to read when searching for a page: two of the longest. */
const PROBE_BYTES = 1 << 17;

/** The first probes guess by the position's share of the bytes; the others halve the range, for very uneven files. */
const PROBES_BY_SHARE = 6;
const MAX_PROBES = 32;

export class PageIndex {
  /** The known pages on which packets end, by their places in the file. */
  private readonly known = new Map<number, Page>();
  /** The successor of each page whose successor is known. */
  private readonly next = new Map<Page, Page>();

  private constructor(
    private readonly read: ReadRange,
    private readonly size: number,
    private readonly serial: number,
  ) {}

  first!: Page;
  last!: Page;

  /** `soundStart` is where the pages with sound begin. */
  static async open(read: ReadRange, size: number, serial: number, soundStart: number): Promise<PageIndex> {
    const index = new PageIndex(read, size, serial);
    const [first] = await index.indexPagesFrom(soundStart);
    const last = (await index.indexPagesFrom(Math.max(soundStart, size - PROBE_BYTES))).at(-1);
    if (!first || !last) throw new UnsupportedFile("The Ogg file does not end with the stream that it begins with.");
    index.first = first;
    index.last = last;
    return index;
  }

  pageAfter(page: Page): Page | undefined {
    return this.next.get(page);
  }

  /** Returns the last page that ends at or before a position; null if even the first one ends after it. */
  async findPageBefore(position: number): Promise<Page | null> {
    if (this.first.granule > position) return null;
    for (let probes = 0; probes < MAX_PROBES; probes++) {
      const [below, above] = this.knownNeighbours(position);
      if (this.next.has(below) || !above) return below;
      const share = probes < PROBES_BY_SHARE ? (position - below.granule) / (above.granule - below.granule) : 0.5;
      const guess = below.offset + share * (above.offset - below.offset) - PROBE_BYTES / 2;
      await this.indexPagesFrom(Math.floor(Math.max(below.offset, Math.min(guess, above.end - PROBE_BYTES))));
    }
    throw new UnsupportedFile(`The Ogg page at the position ${position} was not found.`);
  }

  /** Reads a part of the file, and returns the stream's pages in it. */
  private async indexPagesFrom(start: number): Promise<Page[]> {
    const bytes = await this.read(start, Math.min(this.size, start + PROBE_BYTES));
    const pages: Page[] = [];
    for (const run of findPages(bytes, start)) {
      let previous: Page | undefined;
      for (const page of run) {
        if (page.serial !== this.serial || page.granule < 0) continue;
        const known = this.known.get(page.offset) ?? page;
        this.known.set(known.offset, known);
        if (previous) this.next.set(previous, known);
        previous = known;
        pages.push(known);
      }
    }
    return pages;
  }

  /** Returns the last known page that ends at or before a position, and the first known page that ends after it. */
  private knownNeighbours(position: number): [Page, Page | undefined] {
    let below = this.first;
    let above: Page | undefined;
    for (const page of this.known.values()) {
      if (page.granule <= position && page.offset >= below.offset) below = page;
      if (page.granule > position && (!above || page.offset < above.offset)) above = page;
    }
    return [below, above];
  }
}
