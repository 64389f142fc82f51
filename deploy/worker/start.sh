#!/bin/sh
# Begins the worker's container: sets up the models for the processor that runs it, once; then the command follows.
set -u
# What is missing is said in one line. The worker serves what there is: a restart would find the same.
python -m worker.model_setup --cache "$MODEL_FOLDER" || echo "The worker starts with the engines that there are." >&2
exec "$@"
