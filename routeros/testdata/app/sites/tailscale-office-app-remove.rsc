# Removes everything that tailscale-office-app-setup.rsc added, except for the app itself.
#
# Copy this file to the router and run there: /import tailscale-office-app-remove.rsc
# Written for RouterOS 7.22 and later.

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
  :if (($major < 7) || (($major = 7) && ($minor < 22))) do={
    :error ("this script needs RouterOS 7.22 or later, but this router has " . $release)
  }
}

{
  :local container "mikrotik-tailscale:office"
  :local problems ""
  :onerror problem in={ /system/scheduler/remove [find where comment=$container] } do={ :set problems ($problems . "; " . $problem) }
  :onerror problem in={ /ip/dns/static/remove [find where comment=$container] } do={ :set problems ($problems . "; " . $problem) }
  :onerror problem in={ /ip/firewall/filter/remove [find where comment=$container] } do={ :set problems ($problems . "; " . $problem) }
  :onerror problem in={ /ip/firewall/mangle/remove [find where comment=$container] } do={ :set problems ($problems . "; " . $problem) }
  :onerror problem in={ /ip/firewall/nat/remove [find where comment=$container] } do={ :set problems ($problems . "; " . $problem) }
  :onerror problem in={ /ip/route/remove [find where comment=$container] } do={ :set problems ($problems . "; " . $problem) }
  :onerror problem in={ /interface/list/member/remove [find where comment=$container] } do={ :set problems ($problems . "; " . $problem) }
  :if ([:len $problems] > 0) do={ :error ("tailscale-office: could not remove everything, run this script again" . $problems) }
  :put "removed the routes and rules of tailscale-office. To remove the app: /app/disable tailscale-office, then /app/remove tailscale-office"
}
