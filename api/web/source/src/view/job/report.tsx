// The job's report: sentences, the stems' levels, and technical details.

import type { Job, Report } from "../../api/types";
import { engineTitle, hasAllStems } from "../../state/engines";
import type { Studio } from "../../state/studio";
import { capitalised, formatBytes, formatDb } from "../../words/numbers";
import { detailRows, expirySentences, reportSentences, REPORT_WORDS } from "../../words/report";
import { Table } from "../table";
import { OtherEngines } from "./job_actions";

export function ReportPanel({ studio }: { studio: Studio }) {
  const { job } = studio;
  const report = studio.report.value;
  const expiry = expirySentences(job);
  return (
    <section class="panel report" aria-labelledby="report-title">
      <h2 id="report-title">{REPORT_WORDS.title}</h2>
      {report &&
        reportSentences(report, engineTitle(job.engine), hasAllStems(job)).map((sentence) => <p key={sentence}>{sentence}</p>)}
      {job.stems.length > 0 && <Levels job={job} />}
      {report && <Details report={report} />}
      <OtherEngines job={job} />
      {expiry && <p class="quiet">{expiry}</p>}
    </section>
  );
}

function Levels({ job }: { job: Job }) {
  return (
    <Table label={REPORT_WORDS.levels} columns={REPORT_WORDS.columns}>
      {job.stems.map((stem) => (
        <tr key={stem.name}>
          <th scope="row">{capitalised(stem.name)}</th>
          <td>{formatDb(stem.loudness_lufs, "LUFS")}</td>
          <td>{formatDb(stem.peak_db, "dBFS")}</td>
          <td>{formatBytes(stem.size_bytes)}</td>
        </tr>
      ))}
    </Table>
  );
}

function Details({ report }: { report: Report }) {
  return (
    <details>
      <summary>{REPORT_WORDS.details}</summary>
      <dl>
        {detailRows(report).map(([term, value]) => (
          <div key={term}>
            <dt>{term}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
    </details>
  );
}
