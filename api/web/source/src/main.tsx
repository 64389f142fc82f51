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

// A relative link would lead elsewhere once the page's address changes.
const icon = document.querySelector<HTMLLinkElement>("[rel=icon]")!;
icon.href = new URL(icon.href).pathname;
