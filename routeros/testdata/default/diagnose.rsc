# Prints the reasons why the container tailscale does not work, and changes nothing.
#
# Copy this file to the router and run there: /import tailscale-diagnose.rsc
# The table "Symptoms" in docs/troubleshooting.md has the same texts, and solutions. The report at the end
# contains no names, addresses, networks, keys or log lines, so you can paste it into an issue.
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
  :local container "mikrotik-tailscale:tailscale"
  :local current "^mikrotik-tailscale:tailscale (sha256|file):"
  :local problems 0
  :local found ""

  :put ("RouterOS " . [/system/resource/get version] . " on " . [/system/resource/get architecture-name] . ", " . [/system/resource/get free-hdd-space] . " bytes of storage and " . [/system/resource/get free-memory] . " bytes of memory free")

  # Each group of checks catches its own errors, so that one failure does not end the others.
  :onerror problem in={
    :if ([:len [/system/package/find where name="container" and !disabled]] = 0) do={ :set problems ($problems + 1); :set found ($found . " package"); :put "PROBLEM: the container package is not installed" }
    :if ([/system/device-mode/get container] = false) do={ :set problems ($problems + 1); :set found ($found . " containers-off"); :put "PROBLEM: containers are switched off: /system/device-mode/update container=yes" }
    :if ([/system/device-mode/get fetch] = false) do={ :set problems ($problems + 1); :set found ($found . " fetch-off"); :put "PROBLEM: downloads by scripts are switched off: /system/device-mode/update fetch=yes" }
  } do={ :set found ($found . " unchecked"); :put ("could not check the container package and device-mode: " . $problem) }

  :onerror problem in={
    :if (([:len [/ip/dns/get servers]] = 0) && ([:len [/ip/dns/get dynamic-servers]] = 0)) do={ :set problems ($problems + 1); :set found ($found . " no-name-server"); :put "PROBLEM: the router has no name server, so no container starts: /ip/dns/set servers=..." }
    :local today [/system/clock/get date]
    :if ([:tonum [:pick $today 0 4]] < 2025) do={ :set problems ($problems + 1); :set found ($found . " clock"); :put ("PROBLEM: the clock says " . $today . ", so no certificate is valid: /system/ntp/client/set enabled=yes") }
  } do={ :set found ($found . " unchecked"); :put ("could not check the name server and the clock: " . $problem) }

  :onerror problem in={
    :local remedy ""
  :local distrusted false
  # Since RouterOS 7.21 this setting lists the services that trust the built-in certificate authorities. On
  # routers that were set up before 7.19 it is empty. Imported authorities are sufficient, too.
  :local trust ""
  :foreach service in=[:toarray [/certificate/settings/get builtin-trust-store]] do={
    :if ($service != "untrusted") do={ :set trust ($trust . "," . $service) }
  }
  :local known $trust
  :foreach service in=[:toarray "fetch,container"] do={
    :if (!($known ~ (",(all|default|" . $service . ")(,|\$)"))) do={ :set trust ($trust . "," . $service) }
  }
  :if ($trust != $known) do={
    :set remedy ("the router does not trust its built-in certificate authorities: /certificate/settings/set builtin-trust-store=" . [:pick $trust 1 [:len $trust]])
    :set distrusted ([:len [/certificate/find where trusted]] = 0)
  }
    :if ($distrusted) do={ :set problems ($problems + 1); :set found ($found . " certificates"); :put ("PROBLEM: " . $remedy) }
  } do={ :set found ($found . " unchecked"); :put ("could not check the certificate authorities: " . $problem) }

  :onerror problem in={
    :if ([:len [/interface/veth/find where comment=$container]] = 0) do={ :set problems ($problems + 1); :set found ($found . " no-interface"); :put "PROBLEM: there is no interface veth-tailscale: tailscale was never installed, or tailscale-remove.rsc has removed it" }
    :if ([:len [/ip/address/find where address="172.31.255.253/30" and !disabled]] = 0) do={ :set problems ($problems + 1); :set found ($found . " no-gateway"); :put "PROBLEM: the router does not have the address 172.31.255.253, which is the container's gateway" }
    :if ([:len [/ip/route/find where dst-address="100.64.0.0/10" and comment=$container and active]] = 0) do={ :set problems ($problems + 1); :set found ($found . " no-route"); :put "PROBLEM: there is no active route to 100.64.0.0/10: /ip/route/print where dst-address=100.64.0.0/10" }
    :if ([:len [/ip/firewall/nat/find where comment=$container and action="masquerade" and !disabled]] = 0) do={ :set problems ($problems + 1); :set found ($found . " no-nat"); :put "PROBLEM: there is no NAT rule for the container, so it may not reach the internet: /ip/firewall/nat/print" }
  } do={ :set found ($found . " unchecked"); :put ("could not check interface, addresses, routes and rules: " . $problem) }

  :onerror problem in={
    :local present [/container/find where comment~$current]
    :if ([:len $present] = 0) do={ :set problems ($problems + 1); :set found ($found . " no-container"); :put "PROBLEM: there is no container tailscale" }
    :if ([:len $present] > 1) do={ :set problems ($problems + 1); :set found ($found . " several-containers"); :put "PROBLEM: there are several containers tailscale, and only one of them can use the state" }
    :foreach one in=$present do={
      :put ("container: " . [:tostr [/container/get $one comment]])
      :if ([:len [/container/get $one image-id]] = 0) do={ :set problems ($problems + 1); :set found ($found . " no-image"); :put "PROBLEM: the container's image could not be fetched or unpacked" }
    }
    :if ([:len [/container/find where comment~$current and stopped]] > 0) do={ :set problems ($problems + 1); :set found ($found . " stopped"); :put "PROBLEM: the container is stopped: /container/start [find where name=tailscale]" } else={
      :foreach one in=$present do={
        :local answer [:tostr [/container/shell $one cmd="/usr/local/bin/healthcheck" timeout=20 as-value]]
        :if (!($answer ~ "Running")) do={ :set problems ($problems + 1); :set found ($found . " not-logged-in"); :put ("PROBLEM: not logged in, the daemon says: " . $answer) }
      }
    }
  } do={ :set found ($found . " unchecked"); :put ("could not check the container: " . $problem) }

  :onerror problem in={
    :put "the last lines of the containers' log:"
    :local lines [/log/find where topics~"container"]
    :local position 0
    :foreach line in=$lines do={
      :if ($position >= ([:len $lines] - 10)) do={ :put ("  " . [:tostr [/log/get $line message]]) }
      :set position ($position + 1)
    }
  } do={ :put ("could not read the log: " . $problem) }

  :put ("problems found: " . $problems)

  # The facts that docs/evidence.md asks for. They contain no log lines, names, addresses or networks.
  :put "A report for an issue follows. It has no names, addresses or log lines."
  :put "----"
  :put "scripts: RouterOS 7.21 and later, root disk, registry, internal storage"
  :onerror problem in={
    :put ("router: " . [/system/resource/get board-name] . ", " . [/system/resource/get architecture-name] . ", RouterOS " . [/system/resource/get version] . ", up " . [:tostr [/system/resource/get uptime]])
    :put ("free: " . [/system/resource/get free-hdd-space] . " of " . [/system/resource/get total-hdd-space] . " bytes of storage, " . [/system/resource/get free-memory] . " of " . [/system/resource/get total-memory] . " bytes of memory")
  } do={ :put "router: could not be read" }
  :onerror problem in={
    :foreach one in=[/container/find where comment~$current] do={
      :local known [:tostr [/container/get $one comment]]
      :put ("image: " . [:pick $known ([:len $container] + 1) [:len $known]] . ", unpacked: " . [:tostr ([:len [/container/get $one image-id]] > 0)])
      :local path [:tostr [/container/get $one root-dir]]
      :put ("root directory: begins with a slash: " . [:tostr ([:pick $path 0 1] = "/")] . ", as in the scripts: " . [:tostr ($path ~ "^/\3F(tailscale-root-a|tailscale-root-b)\$")])
      :put ("name: as in the scripts: " . [:tostr ([/container/get $one name] = "tailscale")])
    }
    :put ("flags: stopped " . [:len [/container/find where comment~$current and stopped]] . ", running " . [:len [/container/find where comment~$current and running]])
  } do={ :put "container: could not be read" }
  :onerror problem in={
    :put ("disk in memory: " . [:len [/disk/find where comment=$container]] . ", seen as a file: " . [:len [/file/find where name="tailscale-tmp"]])
  } do={ :put "disk in memory: could not be read" }
  :put ("problems:" . $found)
  :put "----"
}
