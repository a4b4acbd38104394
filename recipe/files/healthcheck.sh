#!/bin/sh
# Prints the daemon's state.
#
#   healthcheck          succeeds if the router is logged in: the state is Running
#   healthcheck alive    succeeds if the daemon answers, whatever its state
#
# It asks the daemon's socket, because the command line tool would be a second Go program in memory.
# It waits for every process that it starts, because the daemon, as process 1, doesn't reap orphans. That is also why it
# doesn't use "timeout", which leaves one. It sends KILL, because a process that was just forked from one with a trap can
# lose TERM.
reply=$(
	printf 'GET /localapi/v0/status?peers=false HTTP/1.0\r\nHost: local-tailscaled.sock\r\n\r\n' |
		nc local:/var/run/tailscale/tailscaled.sock 2>&1 &
	asking=$!
	(trap 'kill -9 $!; wait; exit' TERM; sleep 25 & wait; kill $asking) >/dev/null 2>&1 &
	wait $asking 2>/dev/null
	kill $! 2>/dev/null
	wait
)
state=${reply#*'"BackendState":'*'"'}
case $state in
"$reply") echo "tailscaled does not answer: $reply" >&2; exit 1 ;;
esac
state=${state%%'"'*}
echo "$state"
[ "${1-}" = alive ] || [ "$state" = Running ]
