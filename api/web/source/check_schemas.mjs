// Compares src/api/schemas.generated.ts and ../static/audio_names.json with the API's code. This needs the Python tests' environment; without it (outside
// CI) only the committed file is there to check against, and `make test` compares the rest.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";

const ROOT = new URL("../../../", import.meta.url);
const PYTHON = new URL(".venv-test/bin/python", ROOT);

if (existsSync(PYTHON)) {
  const command = ["-m", "tests.unit.api.contract.test_page_schemas", "--check"];
  process.exitCode = spawnSync(PYTHON.pathname, command, { cwd: ROOT, stdio: "inherit" }).status ?? 1;
} else {
  console.error("The API's code was not compared with src/api/schemas.generated.ts: there is no .venv-test (run `make lint`).");
  if (process.env.CI) process.exitCode = 1;
}
