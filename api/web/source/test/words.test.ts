// Checks numbers, times and sizes as text.

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { below } from "../src/base";
import type { Engine, Engines, Job } from "../src/api/types";
import { readProblem } from "../src/api/client";
import { madeFrom, outputWords, progressWords } from "../src/words/jobs";
import { gainWords } from "../src/words/mixes";
import { ago, capitalised, formatBytes, formatDb, formatExactTime, formatFrequency, formatPercent, formatSpan, formatTime, plural, spokenTime } from "../src/words/numbers";
import { canBeStemFile, engines, offeredFormats, suitableFormat } from "../src/state/engines";
import { engineFacts, leftOutWords } from "../src/words/home";
import { tempoWords, transposedKey } from "../src/words/studio";

/** Checks a function against pairs of an argument and its result. */
function checkAll<T>(format: (value: T) => string, cases: [T, string][]): void {
  for (const [value, expected] of cases) assert.equal(format(value), expected);
}

describe("numbers as text", () => {
  it("times", () => checkAll(formatTime, [[0, "0:00"], [-1, "0:00"], [59.99, "0:59"], [60, "1:00"], [3599, "59:59"], [3600, "1:00:00"], [36_061, "10:01:01"]]));
  it("exact times", () => checkAll(formatExactTime, [[0, "0:00.0"], [9.96, "0:10.0"], [59.96, "1:00.0"], [61.24, "1:01.2"]]));
  it("spoken times", () => checkAll(spokenTime, [[1, "1 second"], [61, "1 minute 1 second"], [120, "2 minutes 0 seconds"]]));
  it("durations", () => checkAll(formatSpan, [[0.4, "a moment"], [20, "20 s"], [90, "2 min"], [5400, "1.5 h"], [7200, "2 h"]]));
  it("sizes", () => checkAll(formatBytes, [[999, "999 bytes"], [1000, "1 kB"], [5_292_044, "5.3 MB"], [53e6, "53 MB"], [2e12, "2000 GB"]]));
  it("levels", () => checkAll(formatDb, [[null, "silent"], [-14.04, "−14.0 dB"], [0, "0.0 dB"]] as [number | null, string][]));
  it("shares are rounded down", () => checkAll(formatPercent, [[0, "0 %"], [0.999, "99 %"], [1, "100 %"]]));
  it("frequencies", () => checkAll(formatFrequency, [[500, "500 Hz"], [2000, "2 kHz"]]));
  it("counts with nouns", () => checkAll((count) => plural(count, "song"), [[0, "0 songs"], [1, "1 song"], [1234, "1,234 songs"]]));
  it("capitals", () => checkAll(capitalised, [["", ""], ["vocals", "Vocals"]]));
  it("times ago", () => checkAll((seconds: number) => ago(new Date(Date.now() - 1000 * seconds).toISOString()), [[5, "just now"], [50, "1 min ago"], [1800, "30 min ago"], [7200, "2 h ago"]]));
});

describe("answers that are not the server's own", () => {
  const nginx = (status: number) => readProblem(status, `<html><head><title>${status}</title></head><body>nginx</body></html>`, null).message;
  it("a file that a proxy does not let through", () => assert.match(nginx(413), /^The file is larger than a proxy .* \(HTTP 413\)$/));
  it("a server that is too slow for a proxy", () => assert.match(nginx(504), /did not answer a proxy .* \(HTTP 504\)$/));
  for (const status of [401, 403, 404, 408, 418, 429, 500, 502, 503]) it(`${status}`, () => assert.match(nginx(status), new RegExp(`proxy.*${status}`)));
  it("the server's own words come first", () => assert.equal(readProblem(413, '{"detail": "Too large.", "code": "upload_too_large"}', null).message, "Too large."));
});

describe("jobs that wait for the storage", () => {
  const job = { state: "queued", attempt: 0, queue_position: null, waiting_for: "storage", waiting_because: "It refuses." } as unknown as Job;
  it("say so", () => assert.match(progressWords(job), /Waiting for the server's storage/));
  it("also while they run", () => assert.match(progressWords({ ...job, state: "running" }), /Waiting for the server's storage/));
  it("or wait for the job that they continue", () => assert.equal(progressWords({ ...job, waiting_for: "source" }), "Waiting for the earlier job"));
  it("do not without need", () => assert.equal(progressWords({ ...job, waiting_for: null, waiting_because: null }), "Queued"));
});

describe("keys follow the transposition", () => {
  for (const [key, semitones, moved] of [
    ["F# minor", 0, "F# minor"],
    ["F# minor", 2, "G# minor"],
    ["F# major", 2, "Ab major"],
    ["G# minor", -2, "F# minor"],
    ["C major", -1, "B major"],
    ["Bb major", 12, "Bb major"],
    ["H dur", 1, "H dur"],
  ] as const)
    it(`${key} ${semitones}`, () => assert.equal(transposedKey(key, semitones), moved));
  it("with the tempo", () => assert.equal(tempoWords(120, "A minor", 0.5, -1), "60 BPM · G# minor"));
  it("alone, or not at all", () => assert.equal(tempoWords(null, null, 1, 3), ""));
});

describe("formats for an engine", () => {
  const formats = [{ name: "flac", needed_stems: [] }, { name: "stem.mp4", needed_stems: ["drums", "bass", "vocals"] }];
  const [two, six] = [{ stems: ["vocals", "accompaniment"] }, { stems: ["vocals", "drums", "bass", "other", "piano"] }] as unknown as Engine[];
  it("are those whose stems it has", () => {
    engines.value = { formats, engines: [] } as unknown as Engines;
    assert.deepEqual(offeredFormats(two).map(({ name }) => name), ["flac"]);
    assert.deepEqual(offeredFormats(six).map(({ name }) => name), ["flac", "stem.mp4"]);
    assert.deepEqual(offeredFormats(undefined).map(({ name }) => name), ["flac"]);
    const stems = ["vocals", "drums", "bass", "other", "piano"].map((name) => ({ name }));
    engines.value = { formats, engines: [{ ...six, name: "six" }] } as unknown as Engines;
    assert.ok(canBeStemFile({ engine: "six", stems } as Job));
    assert.ok(!canBeStemFile({ engine: "six", stems: stems.slice(1) } as Job), "a stem was not kept");
    assert.ok(!canBeStemFile({ engine: "gone", stems } as Job));
    assert.deepEqual([suitableFormat("stem.mp4", two), suitableFormat("stem.mp4", six)], ["flac", "stem.mp4"]);
  });
});

describe("paths", () => {
  for (const [base, path, expected] of [
    ["/", "/v1/jobs", "/v1/jobs"],
    ["/stems/", "/v1/jobs", "/stems/v1/jobs"],
    ["/stems/", "/stems/v1/jobs", "/stems/v1/jobs"],
    ["/a/b/", "/", "/a/b/"],
    ["/stems/", "blob:https://host/1", "blob:https://host/1"],
  ] as const) {
    it(`${path} below ${base}`, () => assert.equal(below(base, path), expected));
  }
});

describe("files that are left out", () => {
  it("one", () => assert.match(leftOutWords(["a/cover.jpg"]), /^1 file left out.*: a\/cover\.jpg\. /));
  it("many", () => assert.match(leftOutWords(Array.from({ length: 7 }, (_, n) => `${n}.txt`)), /^7 files left out.*: 0\.txt, .*4\.txt, … /));
});

describe("facts about an engine", () => {
  const engine = {
    name: "m", version: "1", title: "M", summary: "", stems: ["vocals"], derived_stems: [], presets: [], default_preset: "standard",
    parameters: [], author: "Nobody", licence: "Free.", licence_source: "", scores_from: "ten songs", real_time_factor: 2,
    memory_bytes: 700e6, waiting_for: null, precision: "float32", passes: 1, context_seconds: 0,
  };
  const preset = { name: "standard", description: "", parameters: {}, scores: { vocals_sdr_db: 8.24 }, min_seconds: 0, max_seconds: null };
  it("all of them", () =>
    assert.deepEqual(engineFacts(engine, preset), [
      "SDR: vocals 8.2 dB, on ten songs.",
      "A song of four minutes takes about 2 min and 700 MB of memory here.",
      "By Nobody.",
      "Licence: Free.",
    ]));
  it("of an engine that tells none", () =>
    assert.deepEqual(engineFacts({ ...engine, author: "", licence: "", real_time_factor: null, memory_bytes: null }, undefined), []));
});

describe("what a mix is made of", () => {
  it("the song with changes", () => assert.equal(gainWords({ gains_db: { vocals: null, drums: -3 }, rest_db: 0 }), "the song, vocals left out, drums -3 dB"));
  it("a stem file", () => assert.equal(gainWords({ gains_db: {}, rest_db: 0, format: "stem.mp4" }), "the song, and its stems for DJ programs"));
  it("a quieter song", () => assert.equal(gainWords({ gains_db: { vocals: 0 }, rest_db: -6 }), "the song -6 dB, vocals 0 dB"));
  it("stems alone", () => assert.equal(gainWords({ gains_db: { drums: 0, bass: 0 }, rest_db: null }), "drums 0 dB, bass 0 dB"));
});

describe("what a job was made from", () => {
  it("a mix by its name", () => {
    assert.equal(madeFrom("mine", true), "Made from the mix “mine” of");
    assert.equal(outputWords("drums", false), "the drums");
  });
  it("a stem, or several", () => checkAll(madeFrom, [["vocals", "Made from the vocals of"], [null, "Made from the stems of"]] as [string | null, string][]));
});
