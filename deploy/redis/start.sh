#!/bin/sh
# Starts Valkey (or Redis 7) for docker-compose.yml. The configuration goes in by a pipe: it holds the password's
# digest, and the container's file system is read-only. Arguments come last, and win.
set -eu

digest=$(printf %s "$REDIS_PASSWORD" | sha256sum | cut -d ' ' -f 1)

# The service's user: its own keys and channels, and no command that stops, empties or rewrites the server.
#   &sq:/0.celery.pidbox                    Celery's remote control; a pattern to follow must be granted to the letter
#   +@read +@write +@transaction +@pubsub   records, lines, Celery's queues, events
#   +@connection                            redis-py's greeting
#   -@scripting +eval +evalsha +script|…    our Lua and redis-py's locks; functions and SCRIPT FLUSH stay out
#   +time                                   leases run by the server's clock
#   +info                                   how full its memory is: submissions end before the limit
#   -@dangerous -@admin                     KEYS, FLUSHALL, FLUSHDB, SORT, SWAPDB, MIGRATE, RESTORE, CONFIG, SHUTDOWN,
#                                           DEBUG, MONITOR, REPLICAOF, CLIENT KILL and the like
exec valkey-server - "$@" <<EOF
bind * -::*
port 6379
appendonly yes
# A change is on the disk before it is answered: no accepted job is lost, whatever is killed.
appendfsync always
save ""
maxmemory ${REDIS_MAX_MEMORY:-512mb}
# A queue must never forget. From nine tenths of the limit on the API refuses submissions with 503; what was accepted goes
# on and may pass the limit.
maxmemory-policy noeviction
user default reset off
user stemqueue reset on #$digest ~sq:* &sq:* &sq:/0.celery.pidbox -@all +@read +@write +@transaction +@pubsub +@connection -@scripting +eval +evalsha +script|load +script|exists +time -@dangerous -@admin +info
EOF
