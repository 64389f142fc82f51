// Checks which files of a dropped folder are taken. The server and the command are checked by the same names.

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import names from "../../static/audio_names.json";
import { mayBeAudio } from "../src/state/audio_names";
import cases from "./audio_names.json";

describe("names of files in dropped folders", () => {
  for (const path of cases.taken) it(`takes ${path}`, () => assert.ok(mayBeAudio(path, names)));
  for (const path of [...cases.system, ...cases.other]) it(`leaves out ${path}`, () => assert.ok(!mayBeAudio(path, names)));
});
