"""The connection to Redis, the Lua scripts and pagination."""
