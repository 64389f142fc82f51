"""The servers that `make run` starts beside the API and the worker: Valkey and SeaweedFS."""
