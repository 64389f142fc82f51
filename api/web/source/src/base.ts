// Where the server is: at the root of its host, or below a path if a proxy publishes it there, such as `/stems/`.

/** The path below which the server is published; it begins and ends with a slash. This script is `static/page.js` below it. */
const BASE = new URL("../", import.meta.url).pathname;

/** Returns a path of the server, such as `/v1/jobs`, as the browser has to ask for it. */
export const at = (path: string): string => below(BASE, path);

/** Returns which page of the server the browser shows, such as `/jobs/1`. */
export const currentPath = (): string => location.pathname.slice(BASE.length - 1);

/** Puts a path below a base. A server that knows where it is published has done so already in its answers. */
export function below(base: string, path: string): string {
  return path.startsWith("/") && !path.startsWith(base) ? base + path.slice(1) : path;
}
