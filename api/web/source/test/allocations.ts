// Watches how large the arrays are that the readers allocate.

/** The largest array since the last reset, in bytes. */
export const allocated = { largest: 0 };

interface ArrayConstructor {
  new (...arguments_: unknown[]): object;
  readonly BYTES_PER_ELEMENT: number;
}

/** Replaces the constructors of typed arrays by ones that note sizes. Plain arrays are bounded by node's heap. */
export function countAllocations(): void {
  for (const name of ["Uint8Array", "Uint32Array", "Float64Array"] as const) {
    const original = globalThis[name] as ArrayConstructor;
    const watched = new Proxy(original, {
      construct(target, arguments_, newTarget) {
        const [first] = arguments_ as unknown[];
        if (typeof first === "number") allocated.largest = Math.max(allocated.largest, first * (target.BYTES_PER_ELEMENT));
        return Reflect.construct(target, arguments_, newTarget) as object;
      },
    });
    Object.assign(globalThis, { [name]: watched });
  }
}
