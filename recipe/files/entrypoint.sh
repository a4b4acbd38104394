#!/bin/sh
# The command that the container runs.
#
#   entrypoint                     start the daemon with its supervisor
#   entrypoint --ARGUMENT...       the same, with more arguments for the daemon
#   entrypoint PROGRAM ARGUMENT... run another program
#
# The supervisor is part of the daemon's binary (package supervisor). This script only does what must happen before a
# Go program starts. The image contains it without its comments.
case ${1-} in
'' | -*) ;;
tailscaled) shift ;;
*) exec "$@" ;;
esac
# Pass keys through a pipe, because other processes can read a process's environment. Pass the memory limit the same
# way, because Go's runtime exits at once if it can't parse the limit.
kept='' mark=$(printf '\037')
for name in TS_AUTHKEY TS_AUTH_KEY TS_CLIENT_SECRET TS_ID_TOKEN TS_EXTRA_ARGS GOMEMLIMIT; do
	eval "value=\${$name-}"
	[ -z "$value" ] || kept="$kept$name=$value$mark"
	unset "$name"
done
exec tailscaled entrypoint "$@" <<-END
	$kept
END
