// Starts the page.

import { render } from "preact";

import { loadEngines } from "./state/engines";
import { followLibrary } from "./state/library";
import { Page } from "./view/page";

void loadEngines();
void followLibrary(new AbortController().signal);
render(<Page />, document.getElementById("page")!);
