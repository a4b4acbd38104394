# Adds what the app tailscale can't contain: the routes to the tailnet, and the firewall rules.
#
# Copy this file and tailscale.tikapp.yaml to the router, and run there: /import tailscale-app-setup.rsc
# It adds the app if it is missing, and enables it. You can run it again: it adds nothing twice.
# Everything that it adds, except for the app, has the comment mikrotik-tailscale:tailscale.
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
  :local container "mikrotik-tailscale:tailscale"
  :local refuse do={ :error ($1 . "; nothing was changed") }
  :if (!([/system/resource/get architecture-name] ~ "^(arm64|x86)")) do={ $refuse ("apps need arm64 or x86, but this router is " . [/system/resource/get architecture-name]) }
  :if ([:len [/system/package/find where name="container" and !disabled]] = 0) do={ $refuse "the container package is not installed" }
  :if ([/system/device-mode/get container] = false) do={ $refuse "containers are switched off: /system/device-mode/update container=yes" }
  :if ([/system/device-mode/get scheduler] = false) do={ $refuse "the scheduler is switched off: /system/device-mode/update scheduler=yes" }
  :if ([:len [/app/settings/get disk]] = 0) do={ $refuse "no disk is set for apps: /app/settings/set disk=..." }
  :if ([:len [/file/find where name="tailscale-app-setup.rsc"]] = 0) do={ $refuse ("there is no file " . "tailscale-app-setup.rsc" . ", which the scheduler runs when the app's address changes") }
  :local apps [/app/find where name="tailscale"]
  :local source [/file/find where name="tailscale.tikapp.yaml"]
  :if (([:len $apps] = 0) && ([:len $source] = 0)) do={ $refuse "there is no file tailscale.tikapp.yaml" }
  :if ([:len [/interface/veth/find where name="veth-tailscale"]] > 0) do={ $refuse "the interface veth-tailscale already exists: the scripts for a container without an app have added it" }
  :if ([:len [/ip/route/find where dst-address="100.64.0.0/10"]] > [:len [/ip/route/find where dst-address="100.64.0.0/10" and comment=$container]]) do={ $refuse "a route to 100.64.0.0/10 already exists" }

  :onerror problem in={
    :if ([:len $apps] = 0) do={
      /app/add yaml=[/file/get ($source->0) contents]
      :set apps [/app/find where name="tailscale"]
      :if ([:len $apps] = 0) do={ :error "RouterOS did not accept tailscale.tikapp.yaml" }
    }
    :if ([:len [/app/find where name="tailscale" and disabled]] > 0) do={ /app/enable ($apps->0) }
    :put "waiting for the app to start; this takes minutes on a small router"
    :local seconds 0
    :while (([:len [/app/find where name="tailscale" and running]] = 0) && ($seconds < 900)) do={ :delay 5s; :set seconds ($seconds + 5) }
    :if ([:len [/app/find where name="tailscale" and running]] = 0) do={ :error "the app is not running: see /app/print, and /log/print where topics~\"container\"" }

    # RouterOS has chosen the app's interface and address.
    :local link [/app/get ($apps->0) interface]
    :local veths [/interface/veth/find where name=$link]
    :if ([:len $veths] = 0) do={ :error ("the app has no interface " . $link) }
    :local hop [:tostr [/interface/veth/get ($veths->0) address]]
    :set hop [:pick $hop 0 [:find $hop "/"]]

    # Entries of an earlier run may have an old address or interface.
    /ip/dns/static/remove [find where comment=$container]
    /ip/firewall/filter/remove [find where comment=$container]
    /ip/firewall/mangle/remove [find where comment=$container]
    /ip/firewall/nat/remove [find where comment=$container]
    /ip/route/remove [find where comment=$container]
    /interface/list/member/remove [find where comment=$container]
    # The route back to the tailnet: packets from there have tailnet source addresses.
    /ip/route/add dst-address=100.64.0.0/10 gateway=$hop comment=$container
    /ip/dns/static/add name="ts.net" match-subdomain=yes type=FWD forward-to=100.100.100.100 comment=$container
    :if ([:len [/system/scheduler/find where comment=$container]] = 0) do={
      /system/scheduler/add name="tailscale-app" start-time=startup interval=1m on-event=":local app [/app/find where name=\"tailscale\" and running]; :if ([:len \$app] > 0) do={ :local link [/app/get (\$app->0) interface]; :local veths [/interface/veth/find where name=\$link]; :local hop [:tostr [/interface/veth/get (\$veths->0) address]]; :set hop [:pick \$hop 0 [:find \$hop \"/\"]]; :if ([:len [/ip/route/find where comment=\"mikrotik-tailscale:tailscale\" and gateway=\$hop]] = 0) do={ /import file-name=\"tailscale-app-setup.rsc\" } }" policy=ftp,read,write,policy,test,sensitive comment=$container
    }
    :put ("tailscale runs at " . $hop . ", and its log contains the login URL: /log/print where topics~\"container\"")
  } do={
    :error ("tailscale could not be set up: " . $problem . ". Run this script again, or run tailscale-app-remove.rsc")
  }
}
