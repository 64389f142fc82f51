#!/bin/sh
# Begins the worker's container: the network is built for the processor that runs it, once, then the command follows.
set -eu
python -m worker.model_setup --cache "$MODEL_FOLDER"
exec "$@"
