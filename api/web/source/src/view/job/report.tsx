// What was done to the song, in sentences, and the figures for those who want them.

import { useEffect, useState } from "preact/hooks";

import { requestJson } from "../../api/client";
import type { Report } from "../../api/types";
import { engineTitle, hasAllStems } from "../../state/engines";
import type { Studio } from "../../state/studio";
import { ago, capitalised, formatBytes, formatDb } from "../../words/jobs";
import { sentences, sumsUp } from "../../words/report";
import { OtherEngines } from "./job_actions";

export function ReportPanel({ studio }: { studio: Studio }) {
  const { job } = studio;
  const report = useReport(studio);
  return (
    <section class="panel report" aria-labelledby="report-title">
      <h2 id="report-title">What was done</h2>
      {report &&
        sentences(report, engineTitle(job.engine), hasAllStems(job)).map((sentence) => <p key={sentence}>{sentence}</p>)}
      <div class="table-place" tabIndex={0} role="region" aria-label="Levels of the stems">
        <table>
          <thead>
            <tr>
              <th scope="col">Stem</th>
              <th scope="col">Loudness</th>
              <th scope="col">Peak</th>
              <th scope="col">Size</th>
            </tr>
          </thead>
          <tbody>
            {job.stems.map((stem) => (
              <tr key={stem.name}>
                <th scope="row">{capitalised(stem.name)}</th>
                <td>{formatDb(stem.loudness_lufs, "LUFS")}</td>
                <td>{formatDb(stem.peak_db, "dBFS")}</td>
                <td>{formatBytes(stem.size_bytes)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {report && <Details report={report} />}
      <OtherEngines job={job} />
      {job.expires_at && (
        <p class="quiet">
          Made {ago(job.times.created_at)}. Song and stems are removed on{" "}
          {new Date(job.expires_at).toLocaleDateString(undefined, { dateStyle: "long" })}.
        </p>
      )}
    </section>
  );
}

function Details({ report }: { report: Report }) {
  const rows: [string, string][] = [
    ["Engine", `${report.engine}, version ${report.engine_version}, preset ${report.preset}`],
    ["Original", [report.source.codec, report.source.sample_rate_hz && `${report.source.sample_rate_hz} Hz`].filter(Boolean).join(", ")],
    ["Memory", `${formatBytes(report.peak_memory_bytes)} at most`],
    ["Time", stageTimes(report)],
  ];
  return (
    <details>
      <summary>Figures</summary>
      <dl>
        {rows.map(([term, words]) => (
          <div key={term}>
            <dt>{term}</dt>
            <dd>{words}</dd>
          </div>
        ))}
      </dl>
    </details>
  );
}

function stageTimes(report: Report): string {
  const stages = Object.entries(report.seconds).filter(([stage]) => stage !== "total");
  return stages.map(([stage, seconds]) => `${stage} ${seconds.toFixed(1)} s`).join(", ");
}

function useReport(studio: Studio): Report | null {
  const [report, setReport] = useState<Report | null>(null);
  const url = studio.job.report?.url;
  useEffect(() => {
    if (!url) return;
    const stop = new AbortController();
    requestJson<Report>(url, { signal: stop.signal }).then(
      (found) => {
        studio.gainDb = found.gain_db;
        studio.stemsSumUp = sumsUp(found) && hasAllStems(studio.job);
        setReport(found);
      },
      // The table above tells the most important already.
      () => undefined,
    );
    return () => stop.abort();
  }, [url]);
  return report;
}
