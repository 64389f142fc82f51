"""Takes jobs off the queue, separates their songs, stores the stems. Knows nothing of HTTP."""

import os

# ONNX Runtime otherwise looks its maker's servers up and writes an id of the machine into the user's cache folder.
# Here, since no module of this package is imported before it.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
