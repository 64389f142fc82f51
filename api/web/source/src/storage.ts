// Stores small texts in the browser. In a browser that forbids this, nothing is stored, and the page works without it.

type Kept = "localStorage" | "sessionStorage";

export function recall(name: string): string | null {
  return tried(() => sessionStorage.getItem(name)) ?? tried(() => localStorage.getItem(name));
}

export function remember(name: string, text: string, where: Kept = "localStorage"): void {
  tried(() => window[where].setItem(name, text));
}

export function forget(name: string): void {
  tried(() => sessionStorage.removeItem(name));
  tried(() => localStorage.removeItem(name));
}

function tried<T>(act: () => T): T | null {
  try {
    return act();
  } catch {
    return null;
  }
}
