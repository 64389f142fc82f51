// The mixes that the server has made: downloads. The mixer plays the stems alone, since the mixes are made of these.

import type { Job } from "../../api/types";
import { formatBytes, formatDb } from "../../words/numbers";
import { gainWords, MIXES_WORDS } from "../../words/mixes";
import { DownloadButton } from "../studio/mixer";

export function Mixes({ job }: { job: Job }) {
  return (
    <section class="panel report" aria-labelledby="mixes-title">
      <h2 id="mixes-title">{MIXES_WORDS.title}</h2>
      <div class="table-place" tabIndex={0} role="region" aria-label={MIXES_WORDS.title}>
        <table>
          <thead>
            <tr>
              {MIXES_WORDS.columns.map((column) => (
                <th key={column} scope="col">
                  {column}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {job.mixes.map((mix) => (
              <tr key={mix.name}>
                <th scope="row">{mix.name}</th>
                <td>{gainWords(mix)}</td>
                <td>{formatDb(mix.loudness_lufs, "LUFS")}</td>
                <td>{formatBytes(mix.size_bytes)}</td>
                <td>
                  <DownloadButton stem={mix} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}
