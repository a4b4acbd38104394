# Removes the container tailscale and everything that tailscale-install.rsc added, even if either script was
# interrupted. Entries without the comment mikrotik-tailscale:tailscale stay.
#
# Copy this file to the router and run there: /import tailscale-remove.rsc
# Written for RouterOS 7.21 and later.

# An older release can't even parse the rest of the script, so this is a separate block.
{
  :local release [/system/resource/get version]
  :local dot [:find $release "."]
  :local major [:tonum [:pick $release 0 $dot]]
  :local digits ""
  :local position ($dot + 1)
  :while ([:pick $release $position ($position + 1)] ~ "^[0-9]\$") do={
    :set digits ($digits . [:pick $release $position ($position + 1)])
    :set position ($position + 1)
  }
  :local minor [:tonum $digits]
  :if (($major < 7) || (($major = 7) && ($minor < 21))) do={
    :error ("this script needs RouterOS 7.21 or later, but this router has " . $release)
  }
}

{
  # The state is the router's identity in the tailnet. Change this to false to remove the state as well.
  :local keepState true

  :local container "mikrotik-tailscale:tailscale"
  :local problems ""

  :local all "^mikrotik-tailscale:tailscale "
  :local present [/container/find where comment~$all]
  :if ([:len $present] > 0) do={
    # A stopped container can't be stopped again, and a running one can't be removed.
    :foreach one in=$present do={
      :onerror ignored in={ /container/stop $one } do={}
    }
    :local seconds 0
    :while (([:len [/container/find where comment~$all and !stopped]] > 0) && ($seconds < 60)) do={ :delay 1s; :set seconds ($seconds + 1) }
    :foreach one in=$present do={ :onerror problem in={ /container/remove $one } do={ :set problems ($problems . "; " . $problem) } }
    :set seconds 0
    :while (([:len [/container/find where comment~$all]] > 0) && ($seconds < 120)) do={ :delay 1s; :set seconds ($seconds + 1) }
    :if ([:len [/container/find where comment~$all]] > 0) do={ :set problems ($problems . "; the container is still there") }
  }

  :onerror problem in={ /system/scheduler/remove [find where comment=$container] } do={ :set problems ($problems . "; " . $problem) }
  :onerror problem in={ /container/envs/remove [find where comment=$container] } do={ :set problems ($problems . "; " . $problem) }
  :onerror problem in={ /container/mounts/remove [find where comment=$container] } do={ :set problems ($problems . "; " . $problem) }
  :onerror problem in={ /ip/dns/static/remove [find where comment=$container] } do={ :set problems ($problems . "; " . $problem) }
  :onerror problem in={ /ip/firewall/filter/remove [find where comment=$container] } do={ :set problems ($problems . "; " . $problem) }
  :onerror problem in={ /ip/firewall/mangle/remove [find where comment=$container] } do={ :set problems ($problems . "; " . $problem) }
  :onerror problem in={ /ip/firewall/nat/remove [find where comment=$container] } do={ :set problems ($problems . "; " . $problem) }
  :onerror problem in={ /ip/route/remove [find where comment=$container] } do={ :set problems ($problems . "; " . $problem) }
  :onerror problem in={ /interface/list/member/remove [find where comment=$container] } do={ :set problems ($problems . "; " . $problem) }
  :onerror problem in={ /interface/bridge/port/remove [find where comment=$container] } do={ :set problems ($problems . "; " . $problem) }
  :onerror problem in={ /ip/address/remove [find where comment=$container] } do={ :set problems ($problems . "; " . $problem) }

  # RouterOS puts a slash before some paths.
  :if ([:len [/disk/find where comment=$container]] > 0) do={
    :onerror problem in={
      :if ([/container/config/get tmpdir] ~ "^/\3Ftailscale-tmp\$") do={ /container/config/set tmpdir="" }
      /disk/remove [find where comment=$container]
    } do={ :set problems ($problems . "; " . $problem) }
  }
  :if (!$keepState) do={
    :onerror problem in={ /file/remove [find where name="tailscale-state"] } do={ :set problems ($problems . "; " . $problem) }
  }

  # The interface marks an installation for the other scripts, so it stays while anything else is left.
  :if ([:len $problems] = 0) do={
    :onerror problem in={ /interface/veth/remove [find where comment=$container] } do={ :set problems ($problems . "; " . $problem) }
  }
  :if ([:len $problems] > 0) do={ :error ("tailscale could not be removed completely, run this script again" . $problems) }
  :put "tailscale is removed"
}
