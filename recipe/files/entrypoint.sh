#!/bin/sh
# What a container starts: it prepares the router for Tailscale, leaves a helper in the background
# and becomes tailscaled, which so is process 1 and gets the signal to stop.
#
#   entrypoint                     start the daemon, as docs/usage.md describes
#   entrypoint --ARGUMENT...       the same, with further arguments for the daemon
#   entrypoint PROGRAM ARGUMENT... run another program
#   entrypoint login               the helper: log in, then look after the routes and the copy of the state
#
# Comment lines are left out of the image. /proc/self/exe is of no use in programs that UPX has packed, so
# every command here is either built into ash or found by the search path; scriptApplets in scripts.go lists the latter.
# f: the words of a user's arguments are no file name patterns.
set -fu

say() { echo "entrypoint: $*" >&2; }

# enabled NAME DEFAULT tells whether a variable says yes, in the words that Tailscale takes.
enabled() {
	eval "value=\${$1:-$2}"
	case $value in
	1 | [tT] | true | TRUE | True) return 0 ;;
	0 | [fF] | false | FALSE | False) return 1 ;;
	esac
	say "$1=$value is neither true nor false; it counts as $2"
	[ "$2" = true ]
}

# whole FILE tells a state that the daemon wrote from one that was cut short, is empty or is not its:
# braces around lines of a name and base64, each.
whole() {
	[ "$(sed '/^  "[^"]*": "[A-Za-z0-9+/]*=*",\{0,1\}$/d' "$1" 2>/dev/null)" = "{
}" ] || [ "$(cat "$1" 2>/dev/null)" = "{}" ]
}

# repair puts the last good copy in the place of a damaged state, which would be the end of the
# router's identity: the daemon goes on without it, as another node. A missing state is no damage.
# Moving the copy takes no room.
repair() {
	[ -e "$saved" ] && ! whole "$saved" || return
	if whole "$saved.good"; then
		mv -f "$saved.good" "$saved" && say "$saved was damaged: its last good copy takes its place"
		return
	fi
	# It may be whole in a way that only the daemon knows.
	case $(cat "$saved") in '{'*'}') return ;; esac
	mv -f "$saved" "$saved.bad" && say "$saved is damaged, and there is no good copy of it: the router has to log in anew; the damaged one is $saved.bad"
}

# spare keeps a copy of the state with which the router is logged in. The flash is written to only
# when the state has changed.
spare() {
	local now
	now=$(cat "$saved" 2>/dev/null)
	[ "$now" != "$copied" ] && whole "$saved" && healthcheck >/dev/null 2>&1 || return
	if cp "$saved" "$saved.tmp" && sync "$saved.tmp" && mv -f "$saved.tmp" "$saved.good"; then
		copied=$now short=
		return
	fi
	rm -f "$saved.tmp"
	[ "$short" ] || say "the state in $saved cannot be copied: look for room on its volume"
	short=yes
}

# mend FAMILY TAILNET ADDRESS puts the routes of Tailscale's own table into the main one where the
# rules that lead to that table have no effect, and keeps them as they are there. The exit node's
# default route stays out: without rules it would catch the daemon's own packets.
mend() {
	case $(ip "-$1" addr show dev tailscale0 scope global 2>/dev/null) in *inet*) ;; *) return ;; esac
	case $mended,$(ip "-$1" route get "$3" 2>/dev/null) in
	*"$1"*,*) ;;
	*,*" tailscale0 "*) return ;;
	*)
		say "IPv$1 packets for the tailnet do not get to tailscale0: adding routes to the main table"
		mended=$mended$1
		;;
	esac
	ip "-$1" route replace "$2" dev tailscale0
	local others='/^\(default\|throw\|unreachable\|100\.\|fd7a:115c:a1e0:\|fe80:\|ff00:\)/d;s/ .*//'
	local want have to
	want=$(echo $(ip "-$1" route show table 52 | sed "$others"))
	have=$(echo $(ip "-$1" route show dev tailscale0 | sed "$others"))
	for to in $want; do
		case " $have " in *" $to "*) ;; *) ip "-$1" route replace "$to" dev tailscale0 ;; esac
	done
	for to in $have; do
		case " $want " in *" $to "*) ;; *) ip "-$1" route del "$to" dev tailscale0 ;; esac
	done
}

# up FLAG... makes the daemon's settings those of the environment. The key comes in through a pipe:
# arguments and environments can be read by others. It is only used by a daemon that is logged out,
# so that a router comes back after the key has expired. The user's own flags go before: the command
# takes none twice.
up() {
	local flag name
	set -- --reset --netfilter-mode=off --timeout=60s "$@" ${TS_LOGIN_SERVER:+"--login-server=$TS_LOGIN_SERVER"}
	case $state,$key,${TS_EXTRA_ARGS-} in
	NeedsLogin,file:*,* | *,file:*,*-force-reauth*) set -- "$@" "--auth-key=$key" ;;
	*,,*) ;;
	NeedsLogin,* | *-force-reauth*) set -- "$@" --auth-key=file:/proc/self/fd/0 ;;
	esac
	for flag; do
		shift
		name=${flag%%=*}
		case " ${TS_EXTRA_ARGS-} " in *[\ -]"${name#-}"[\ =]*) ;; *) set -- "$@" "$flag" ;; esac
	done
	tailscale "--socket=$socket" up "$@" ${TS_EXTRA_ARGS-} <<-EOF
		$key
	EOF
}

# login FLAG... returns once the daemon has its settings and its key. From then on the daemon itself
# tries to log in, for as long as its control server is away. Another "up" would begin anew, with
# another identity, for which a key for one use may be spent. So only an "up" that failed at once is
# repeated. A fresh daemon has no state for a moment; one that is logged in has none until it has
# reached its control server.
login() {
	local pause=1 patience=10 state began now rest
	while :; do
		state=$(healthcheck 2>/dev/null)
		case $state in
		'' | NoState)
			if [ $patience -gt 0 ]; then
				patience=$((patience - 1))
				sleep 1
				continue
			fi
			;;
		esac
		read -r began rest </proc/uptime
		if enabled TS_AUTH_ONCE false && [ "$state" != NeedsLogin ]; then
			[ $# = 0 ] || tailscale "--socket=$socket" set "$@"
		else
			up "$@"
		fi && return
		case $pause,$key in 1,tskey-client-*) say "the key is the secret of an OAuth client: it needs an image built with --features=+oauthkey, and --advertise-tags=tag:NAME in TS_EXTRA_ARGS" ;; esac
		read -r now rest </proc/uptime
		if [ $((${now%.*} - ${began%.*})) -gt 50 ]; then
			say "not logged in yet; the daemon goes on trying"
			return
		fi
		say "not logged in (state: ${state:-none}), next try in $pause seconds"
		sleep $pause
		pause=$((pause < 150 ? pause * 2 : 300))
	done
}

tun=tailscale0
! enabled TS_USERSPACE false || tun=
socket=${TS_SOCKET:-/var/run/tailscale/tailscaled.sock}
dir=${TS_STATE_DIR:-/var/lib/tailscale}
saved=$dir/tailscaled.state

if [ "${1-}" = login ]; then
	read -r key
	set -- ${TS_ACCEPT_DNS:+"--accept-dns=$TS_ACCEPT_DNS"} ${TS_ROUTES+"--advertise-routes=$TS_ROUTES"} ${TS_HOSTNAME:+"--hostname=$TS_HOSTNAME"}
	[ -z "$*$key${TS_EXTRA_ARGS-}${TS_LOGIN_SERVER-}" ] || login "$@"
	mended= short= copied=$(cat "$saved.good" 2>/dev/null)
	# Ends with the daemon also where they have no process namespace of their own.
	while kill -0 $PPID; do
		spare
		if [ "$tun" ]; then
			mend 4 100.64.0.0/10 100.100.100.100
			mend 6 fd7a:115c:a1e0::/48 fd7a:115c:a1e0::53
		fi
		sleep 30
	done
	exit
fi

case ${1-} in
'' | -*) ;;
tailscaled) shift ;;
*) exec "$@" ;;
esac
# Process 1 gets no signal that it does not ask for.
trap exit TERM

[ "$(date +%Y)" -ge 2024 ] || say "the clock says $(date): until it is set, no certificate is valid, and the router cannot log in"

mkdir -p "$dir" "${socket%/*}"
# The daemon inherits the lock and has it for as long as it lives. It is on the folder itself, so that
# no file is written. Without TERM's trap in a pause, a container that waits could not be stopped.
exec 9<"$dir"
waits=
until why=$(flock -n 9 2>&1); do
	[ -z "$why" ] || { say "no lock on $dir, which no other container may use: $why"; break; }
	[ "$waits" ] || say "another container uses the state in $dir: waiting until it has stopped"
	waits=yes
	sleep 2
done
repair
# What writes leave that were killed.
(set +f; rm -f "$saved".tmp* "$dir"/derpmap.cached.json.tmp*)
if [ -e "$socket" ]; then
	say "the daemon did not stop by itself the last time: it was killed, perhaps for want of memory, or the power failed"
	rm -f "$socket"
fi
if [ "$tun" ]; then
	[ -c /dev/net/tun ] || { mkdir -p /dev/net && mknod -m 600 /dev/net/tun c 10 200; }
	if ! { true <>/dev/net/tun; } 2>/dev/null; then
		say "no use of /dev/net/tun: networking in user space, which takes packets from the tailnet and sends none to it"
		tun=userspace-networking
	fi
	case $(ip route show default) in
	*" dev "[tT]ailscale*) say "the interface of the default route is called like Tailscale's own, which Tailscale therefore does not use: give the veth another name" ;;
	esac
	for file in ipv4/ip_forward ipv6/conf/all/forwarding; do
		file=/proc/sys/net/$file
		[ -e $file ] || continue
		read -r value <$file
		[ "$value" = 1 ] || { echo 1 >$file; } 2>/dev/null ||
			say "$file is $value and cannot be set to 1: packets of other hosts are not forwarded"
	done
fi

export GOMEMLIMIT="${GOMEMLIMIT-48MiB}" GOGC="${GOGC-50}"
key=${TS_AUTHKEY:-${TS_AUTH_KEY-}}
unset TS_AUTHKEY TS_AUTH_KEY
"$0" login 9<&- <<-EOF &
	$key
EOF
exec tailscaled --no-logs-no-support "--tun=${tun:-userspace-networking}" "--statedir=$dir" "--socket=$socket" ${TS_TAILSCALED_EXTRA_ARGS-} "$@"
