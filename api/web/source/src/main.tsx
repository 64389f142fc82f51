// Starts the page.

import { render } from "preact";

import { server } from "./api/client";
import { refreshBatches } from "./state/batches";
import { loadEngines } from "./state/engines";
import { followLibrary } from "./state/library";
import { Page } from "./view/page";

void loadEngines();
void refreshBatches();
server.addEventListener("back", () => void refreshBatches());
void followLibrary(new AbortController().signal);
render(<Page />, document.getElementById("page")!);
