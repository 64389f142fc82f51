"""The worker: takes jobs from the queue, separates their songs and stores the stems. It has nothing to do with HTTP."""

import os

# Otherwise ONNX Runtime contacts its maker's servers and writes an id of the machine into the user's cache folder. This
# module is imported before all others of the package.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
