// URLs for pictures and downloads, which the browser fetches by itself, without the API key.

import { at } from "../base";
import { request } from "./client";
import { key } from "./key";

/** Returns a URL that works without a key: the server's own or, if a key is in use, that of a copy in the browser. */
export async function openAddress(url: string): Promise<string> {
  if (!key.value) return at(url);
  return URL.createObjectURL(await (await request(url)).blob());
}

/** Releases a URL from `openAddress`. */
export function closeAddress(address: string): void {
  if (address.startsWith("blob:")) URL.revokeObjectURL(address);
}

/** Releases a URL from `openAddress` after the browser has had time to load it. */
export function closeLater(address: string): void {
  window.setTimeout(() => closeAddress(address), 60_000);
}

/** Downloads a file of the server. */
export async function download(url: string, filename: string): Promise<void> {
  save(await openAddress(url), filename);
}

/** Downloads a file that the page has made. */
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
