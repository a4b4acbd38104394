#!/bin/sh
# Prints the daemon's state.
#
#   healthcheck          succeeds when the router is logged in: the state is Running
#   healthcheck alive    succeeds when the daemon answers, whatever its state
#
# It asks the daemon itself: the command line tool is a second Go program in memory.
# Each process here is waited for: the daemon, as process 1, takes care of none that is left to it, as
# "timeout" leaves one. KILL, since a process that has just been forked from one with a trap can lose TERM.
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
