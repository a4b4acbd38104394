#!/bin/sh
# What a container starts.
#
#   entrypoint                     start the daemon with its supervisor
#   entrypoint --ARGUMENT...       the same, with further arguments for the daemon
#   entrypoint PROGRAM ARGUMENT... run another program
#
# The supervisor is part of the daemon's binary (package supervisor). Only what has to come before any Go program is
# here. Comment lines are left out of the image.
case ${1-} in
'' | -*) ;;
tailscaled) shift ;;
*) exec "$@" ;;
esac
# Keys go through a pipe, since others can read the environment of a process. So does the memory limit: Go's runtime
# ends a program at once because of a limit that it can't read.
kept='' mark=$(printf '\037')
for name in TS_AUTHKEY TS_AUTH_KEY TS_CLIENT_SECRET TS_ID_TOKEN TS_EXTRA_ARGS GOMEMLIMIT; do
	eval "value=\${$name-}"
	[ -z "$value" ] || kept="$kept$name=$value$mark"
	unset "$name"
done
exec tailscaled entrypoint "$@" <<-END
	$kept
END
