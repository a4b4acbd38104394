# Prints the reasons why the container {{.Name}} does not work, and changes nothing.
#
# Copy this file to the router and run there: /import {{.Name}}-diagnose.rsc
# The table "Symptoms" in docs/troubleshooting.md has the same texts, and solutions. The report at the end
# contains no names, addresses, networks, keys or log lines, so you can paste it into an issue.
# Written for RouterOS 7.{{.Minor}} and later.

{{template "version" .}}

{
  :local container {{q .Mark}}
  :local current {{q .Current}}
  :local problems 0
  :local found ""

  :put ("RouterOS " . [/system/resource/get version] . " on " . [/system/resource/get architecture-name] . ", " . [/system/resource/get free-hdd-space] . " bytes of storage and " . [/system/resource/get free-memory] . " bytes of memory free")

  # Each group of checks catches its own errors, so that one failure does not end the others.
  :onerror problem in={
    :if ([:len [/system/package/find where name="container" and !disabled]] = 0) do={ :set problems ($problems + 1); :set found ($found . " package"); :put "PROBLEM: the container package is not installed" }
    :if ([/system/device-mode/get container] = false) do={ :set problems ($problems + 1); :set found ($found . " containers-off"); :put "PROBLEM: containers are switched off: /system/device-mode/update container=yes" }
{{- if .Image}}
    :if ([/system/device-mode/get fetch] = false) do={ :set problems ($problems + 1); :set found ($found . " fetch-off"); :put "PROBLEM: downloads by scripts are switched off: /system/device-mode/update fetch=yes" }
{{- end}}
{{- if .Schedules}}
    :if ([/system/device-mode/get scheduler] = false) do={ :set problems ($problems + 1); :set found ($found . " scheduler-off"); :put "PROBLEM: the scheduler is switched off: /system/device-mode/update scheduler=yes" }
{{- end}}
  } do={ :set found ($found . " unchecked"); :put ("could not check the container package and device-mode: " . $problem) }

  :onerror problem in={
{{- if not .DNS}}
    :if (([:len [/ip/dns/get servers]] = 0) && ([:len [/ip/dns/get dynamic-servers]] = 0)) do={ :set problems ($problems + 1); :set found ($found . " no-name-server"); :put "PROBLEM: the router has no name server, so no container starts: /ip/dns/set servers=..." }
{{- end}}
    :local today [/system/clock/get date]
    :if ([:tonum [:pick $today 0 4]] < 2025) do={ :set problems ($problems + 1); :set found ($found . " clock"); :put ("PROBLEM: the clock says " . $today . ", so no certificate is valid: /system/ntp/client/set enabled=yes") }
  } do={ :set found ($found . " unchecked"); :put ("could not check the name server and the clock: " . $problem) }

  :onerror problem in={
    {{template "trust" .}}
    :if ($distrusted) do={ :set problems ($problems + 1); :set found ($found . " certificates"); :put ("PROBLEM: " . $remedy) }
  } do={ :set found ($found . " unchecked"); :put ("could not check the certificate authorities: " . $problem) }

  :onerror problem in={
    :if ([:len [/interface/veth/find where comment=$container]] = 0) do={ :set problems ($problems + 1); :set found ($found . " no-interface"); :put "PROBLEM: there is no interface {{.Interface}}: {{.Name}} was never installed, or {{.Name}}-remove.rsc has removed it" }
{{- if not .Bridge}}
    :if ([:len [/ip/address/find where address={{printf "%s/%d" .Gateway .Length | q}} and !disabled]] = 0) do={ :set problems ($problems + 1); :set found ($found . " no-gateway"); :put "PROBLEM: the router does not have the address {{.Gateway}}, which is the container's gateway" }
{{- if .LengthSix}}
    :if ([:len [/ipv6/address/find where address={{printf "%s/%d" .GatewaySix .LengthSix | q}} and !disabled]] = 0) do={ :set problems ($problems + 1); :set found ($found . " no-gateway"); :put "PROBLEM: the router does not have the address {{.GatewaySix}}, which is the container's gateway" }
{{- end}}
{{- end}}
{{- range .Routes}}
    :if ([:len [{{.Menu}}/find where dst-address="{{.Network}}" and comment=$container and active]] = 0) do={ :set problems ($problems + 1); :set found ($found . " no-route"); :put "PROBLEM: there is no active route to {{.Network}}: {{.Menu}}/print where dst-address={{.Network}}" }
{{- end}}
{{- if and .WANList (not .Bridge)}}
    :if ([:len [/ip/firewall/nat/find where comment=$container and action="masquerade" and !disabled]] = 0) do={ :set problems ($problems + 1); :set found ($found . " no-nat"); :put "PROBLEM: there is no NAT rule for the container, so it may not reach the internet: /ip/firewall/nat/print" }
{{- if .PrivateSix}}
    :if ([:len [/ipv6/firewall/nat/find where comment=$container and action="masquerade" and !disabled]] = 0) do={ :set problems ($problems + 1); :set found ($found . " no-nat"); :put "PROBLEM: there is no IPv6 NAT rule for the container, so it may not reach the internet: /ipv6/firewall/nat/print" }
{{- end}}
{{- end}}
{{- if .Firewall}}
{{- range .Forward}}
    :local {{.Rules}} [{{.Menu}}/find where chain="forward" and !dynamic and !disabled]
    :if ([:len ${{.Rules}}] > 0) do={
      :if ([:tostr [{{.Menu}}/get (${{.Rules}}->0) comment]] != $container) do={ :set problems ($problems + 1); :set found ($found . " rule-order"); :put "PROBLEM: another rule comes before the container's rules: {{.Menu}}/print where chain=forward" }
    }
{{- end}}
{{- end}}
  } do={ :set found ($found . " unchecked"); :put ("could not check interface, addresses, routes and rules: " . $problem) }

  :onerror problem in={
{{- if .InMemory}}
    :if ([:len [/file/find where name={{q .Started}}]] = 0) do={ :set problems ($problems + 1); :set found ($found . " not-added-since-boot"); :put "PROBLEM: the container has not been added since the router booted, see /log/print where message~\"{{.Name}} could not be started\": /import {{.StartFile}}" }
{{- end}}
    :local present [/container/find where comment~$current]
    :if ([:len $present] = 0) do={ :set problems ($problems + 1); :set found ($found . " no-container"); :put "PROBLEM: there is no container {{.Name}}" }
    :if ([:len $present] > 1) do={ :set problems ($problems + 1); :set found ($found . " several-containers"); :put "PROBLEM: there are several containers {{.Name}}, and only one of them can use the state" }
    :foreach one in=$present do={
      :put ("container: " . [:tostr [/container/get $one comment]])
      :if ([:len [/container/get $one image-id]] = 0) do={ :set problems ($problems + 1); :set found ($found . " no-image"); :put "PROBLEM: the container's image could not be fetched or unpacked" }
    }
    :if ([:len [/container/find where comment~$current and stopped]] > 0) do={ :set problems ($problems + 1); :set found ($found . " stopped"); :put "PROBLEM: the container is stopped: /container/start [find where name={{.Name}}]" } else={
      :foreach one in=$present do={
        :local answer [:tostr [/container/shell $one cmd={{q .Health}} timeout=20 as-value]]
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
  :put "scripts: RouterOS 7.{{.Minor}} and later, root {{.Root}}, {{if .Tarball}}tarball{{else}}registry{{end}}, {{if .InMemory}}memory{{else if .Internal}}internal storage{{else}}disk{{end}}"
  :onerror problem in={
    :put ("router: " . [/system/resource/get board-name] . ", " . [/system/resource/get architecture-name] . ", RouterOS " . [/system/resource/get version] . ", up " . [:tostr [/system/resource/get uptime]])
    :put ("free: " . [/system/resource/get free-hdd-space] . " of " . [/system/resource/get total-hdd-space] . " bytes of storage, " . [/system/resource/get free-memory] . " of " . [/system/resource/get total-memory] . " bytes of memory")
  } do={ :put "router: could not be read" }
  :onerror problem in={
    :foreach one in=[/container/find where comment~$current] do={
      :local known [:tostr [/container/get $one comment]]
      :put ("image: " . [:pick $known ([:len $container] + 1) [:len $known]] . ", unpacked: " . [:tostr ([:len [/container/get $one image-id]] > 0)])
      :local path [:tostr [/container/get $one root-dir]]
      :put ("root directory: begins with a slash: " . [:tostr ([:pick $path 0 1] = "/")] . ", as in the scripts: " . [:tostr ($path ~ {{printf "^/?(%s|%s)$" (.RootDir "a") (.RootDir "b") | q}})])
      :put ("name: as in the scripts: " . [:tostr ([/container/get $one name] = {{q .Name}})])
    }
    :put ("flags: stopped " . [:len [/container/find where comment~$current and stopped]] . ", running " . [:len [/container/find where comment~$current and running]])
  } do={ :put "container: could not be read" }
{{- if .AtLeast 23}}
  :onerror problem in={
    :foreach one in=[/container/find where comment~$current] do={ :put ("restart policy: " . [:tostr [/container/get $one restart-policy]]) }
  } do={ :put "restart policy: could not be read" }
{{- end}}
{{- if .Tmpfs}}
  :onerror problem in={
    :put ("disk in memory: " . [:len [/disk/find where comment=$container]] . ", seen as a file: " . [:len [/file/find where name={{q .TmpfsSlot}}]]{{if .InMemory}} . ", added since the boot: " . [:len [/file/find where name={{q .Started}}]]{{end}})
  } do={ :put "disk in memory: could not be read" }
{{- end}}
  :put ("problems:" . $found)
  :put "----"
}
