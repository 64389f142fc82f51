// Addresses for what the browser fetches by itself (pictures, downloads), which sends no key.

import { request } from "./client";
import { key } from "./key";

/** Returns an address that works without a header: the server's own, or, where a key is used, a copy's. */
export async function openAddress(url: string): Promise<string> {
  if (!key.value) return url;
  return URL.createObjectURL(await (await request(url)).blob());
}

/** Gives an address from `openAddress` back. */
export function closeAddress(address: string): void {
  if (address.startsWith("blob:")) URL.revokeObjectURL(address);
}

/** The same, once the browser surely has what it was asked for. */
export function closeLater(address: string): void {
  window.setTimeout(() => closeAddress(address), 60_000);
}

/** Saves a file as the browser saves any; with a key it is fetched first. */
export async function download(url: string, filename: string): Promise<void> {
  save(await openAddress(url), filename);
}

/** Saves a file that the page made. */
export function saveBlob(file: Blob, filename: string): void {
  save(URL.createObjectURL(file), filename);
}

function save(address: string, filename: string): void {
  const link = document.createElement("a");
  link.href = address;
  link.download = filename;
  link.click();
  closeLater(address);
}
