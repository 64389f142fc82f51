// The mixes that the server has made: downloads. The mixer plays the stems alone, since the mixes are made of these.

import type { Job } from "../../api/types";
import { formatBytes, formatDb } from "../../words/numbers";
import { gainWords, MIXES_WORDS } from "../../words/mixes";
import { DownloadButton } from "../studio/mixer";
import { Table } from "../table";

export function Mixes({ job }: { job: Job }) {
  return (
    <section class="panel report" aria-labelledby="mixes-title">
      <h2 id="mixes-title">{MIXES_WORDS.title}</h2>
      <Table label={MIXES_WORDS.title} columns={MIXES_WORDS.columns}>
        {job.mixes.map((mix) => (
          <tr key={mix.name}>
            <th scope="row">{mix.name}</th>
            <td class="wraps">{gainWords(mix)}</td>
            <td>{formatDb(mix.loudness_lufs, "LUFS")}</td>
            <td>{formatBytes(mix.size_bytes)}</td>
            <td>
              <DownloadButton stem={mix} />
            </td>
          </tr>
        ))}
      </Table>
    </section>
  );
}
