// What can be told of a file before it is sent.

const EXTENSIONS = new Set(
  "mp3 m4a m4b mp4 aac flac wav wave w64 aif aiff aifc ogg oga opus webm mka mkv mov avi wma wv ape ac3 eac3 dts amr 3gp caf au mp2 alac tta mpc spx".split(" "),
);

/** Whether the name or the type says audio or video. The server looks at the content; this only spares an upload. */
export function looksLikeAudio(file: File): boolean {
  if (/^(audio|video)\//.test(file.type)) return true;
  const extension = /\.([^.]+)$/.exec(file.name)?.[1]?.toLowerCase();
  // A file without an extension may be anything.
  return extension === undefined || EXTENSIONS.has(extension);
}

/** Returns how long a file plays, where the browser can tell soon. */
export function durationOf(file: File): Promise<number | null> {
  return new Promise((resolve) => {
    const audio = new Audio();
    const address = URL.createObjectURL(file);
    const answer = (seconds: number | null) => {
      window.clearTimeout(timer);
      URL.revokeObjectURL(address);
      resolve(seconds !== null && Number.isFinite(seconds) ? seconds : null);
    };
    const timer = window.setTimeout(() => answer(null), 2000);
    audio.preload = "metadata";
    audio.onloadedmetadata = () => answer(audio.duration);
    audio.onerror = () => answer(null);
    audio.src = address;
  });
}
