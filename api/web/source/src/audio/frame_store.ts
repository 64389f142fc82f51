// The frames of a file that was read whole: kept by the browser outside of the page's memory, which an hour of MP3 would
// fill.

/** Where a frame is in its file. */
export interface Frame {
  start: number;
  end: number;
}

export class FrameStore {
  private readonly blob: Blob;

  constructor(
    file: Uint8Array<ArrayBuffer>,
    private readonly frames: readonly Frame[],
  ) {
    this.blob = new Blob([file]);
  }

  /** Returns the bytes of the frames from `first` up to, not including, `stop`, without what lies between them. */
  read(first: number, stop: number): Promise<ArrayBuffer> {
    const runs: Frame[] = [];
    for (const { start, end } of this.frames.slice(first, stop)) {
      const run = runs.at(-1);
      if (run?.end === start) run.end = end;
      else runs.push({ start, end });
    }
    return new Blob(runs.map(({ start, end }) => this.blob.slice(start, end))).arrayBuffer();
  }
}
