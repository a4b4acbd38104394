# Installs the image {{q .Source}} as the container {{.Name}}.
#
# Copy this file to the router and run there: /import {{.Name}}-install.rsc
# It first checks that nothing is missing. If something is, it changes nothing. Everything that it adds has the
# comment {{.Mark}}, and {{.Name}}-remove.rsc removes it, even after a failure.
# Written for RouterOS 7.{{.Minor}} and later.

{{template "version" .}}

{
  :local container {{q .Mark}}

  # Stop if something is missing or conflicts.
  :local refuse do={ :error ($1 . "; nothing was changed") }
  :if ([:len [/system/package/find where name="container" and !disabled]] = 0) do={ $refuse "the container package is not installed" }
  :if ([/system/device-mode/get container] = false) do={ $refuse "containers are switched off: /system/device-mode/update container=yes" }
{{- if .Image}}
  :if ([/system/device-mode/get fetch] = false) do={ $refuse "downloads by scripts are switched off: /system/device-mode/update fetch=yes" }
{{- end}}
{{- if .Schedules}}
  :if ([/system/device-mode/get scheduler] = false) do={ $refuse "the scheduler is switched off: /system/device-mode/update scheduler=yes" }
{{- end}}
  :if (([:len [/container/find where comment~{{q .MarkPattern}}]] > 0) || ([:len [/interface/veth/find where comment=$container]] > 0) || ([:len [/disk/find where comment=$container]] > 0)) do={
    $refuse "it is already installed, at least in part: run {{.Name}}-update.rsc to update it, or {{.Name}}-remove.rsc to remove it"
  }
  :if ([:len [/interface/find where name={{q .Interface}}]] > 0) do={ $refuse "the interface {{.Interface}} already exists" }
  :if ([:len [/container/find where name={{q .Name}}]] > 0) do={ $refuse "the container {{.Name}} already exists" }
  :if ([:len [/container/envs/find where list={{q .Name}}]] > 0) do={ $refuse "the list of variables {{.Name}} already exists" }
  :if ([:len [/container/mounts/find where list={{q .Name}}]] > 0) do={ $refuse "the list of mounts {{.Name}} already exists" }
{{- range .Routes}}
  :if ([:len [{{.Menu}}/find where dst-address="{{.Network}}"]] > 0) do={ $refuse "a route to {{.Network}} already exists" }
{{- end}}
{{- if .Disk}}
  :if ([:len [/file/find where name={{q .Disk}}]] = 0) do={ $refuse ("there is no disk or directory " . {{q .Disk}}) }
{{- else}}
  # If this directory exists, files outside of it are in memory, and a reboot removes them.
  :if ([:len [/file/find where name="flash"]] > 0) do={ $refuse "this router keeps files in the directory flash: create the scripts again with --disk flash" }
{{- end}}
{{- if .Bridge}}
  :if ([:len [/interface/bridge/find where name={{q .Bridge}}]] = 0) do={ $refuse ("there is no bridge " . {{q .Bridge}}) }
{{- else}}
  :if ([:len [/ip/address/find where address={{printf "%s/%d" .Gateway .Length | q}}]] > 0) do={ $refuse "the address {{.Gateway}} is already in use" }
{{- if .LengthSix}}
  :if ([:len [/ipv6/address/find where address={{printf "%s/%d" .GatewaySix .LengthSix | q}}]] > 0) do={ $refuse "the address {{.GatewaySix}} is already in use" }
{{- end}}
{{- end}}
{{- if .Translates}}
  :if ([:len [/interface/list/find where name={{q .WANList}}]] = 0) do={ $refuse ("there is no interface list " . {{q .WANList}}) }
{{- end}}
{{- if .InterfaceList}}
  :if ([:len [/interface/list/find where name={{q .InterfaceList}}]] = 0) do={ $refuse ("there is no interface list " . {{q .InterfaceList}}) }
{{- end}}
{{- if not .DNS}}
  # Without a name server, RouterOS starts no container.
  :if (([:len [/ip/dns/get servers]] = 0) && ([:len [/ip/dns/get dynamic-servers]] = 0)) do={ $refuse "the router has no name server: /ip/dns/set servers=..." }
{{- end}}
{{- if .AuthKeyFile}}
  :if ([:len [/file/find where name={{q .Key}}]] = 0) do={ $refuse ("there is no file " . {{q .Key}} . ", which has to contain the auth key") }
{{- end}}
{{- if .UpdateAt}}
  :if ([:len [/file/find where name={{q .UpdateFile}}]] = 0) do={ $refuse ("there is no file " . {{q .UpdateFile}} . ", which the scheduler runs every day") }
{{- end}}

{{- if .InMemory}}
  :if ([:len [/file/find where name={{q .StartFile}}]] = 0) do={ $refuse ("there is no file " . {{q .StartFile}} . ", which the scheduler runs at each boot") }
  :if ([:len [/file/find where name={{q .TmpfsSlot}}]] > 0) do={ $refuse "a file, directory or disk {{.TmpfsSlot}} already exists" }
{{- if .Tarball}}
  :if ([:len [/disk/find where slot={{q .TarballDisk}} and type="tmpfs"]] > 0) do={ $refuse "the disk {{.TarballDisk}} is in memory, so the tarball would be gone after a reboot" }
{{- end}}
  # Memory for the image, which exists as a download, as a layer and unpacked, and for the container's processes.
  :if ([/system/resource/get free-memory] < {{.StartMemory}}) do={
    $refuse ("not enough memory: " . [/system/resource/get free-memory] . " bytes are free, but {{.StartMemory}} are needed")
  }
{{- end}}

  {{template "trust" .}}
{{- if .Verifies}}
  :if ($distrusted) do={ $refuse $remedy }
{{- end}}

  :onerror problem in={
    {{template "identity" .}}
    :set identity ($container . " " . $identity)
{{- if .InMemory}}

    {{template "memory-disk" .}}
{{- else if .Tmpfs}}

    # Unpack images in memory, to spare the flash. A directory that is already set stays.
    :if ([:len [/container/config/get tmpdir]] = 0) do={
      /disk/add type=tmpfs tmpfs-max-size={{.Tmpfs}}M slot={{q .TmpfsSlot}} comment=$container
      /container/config/set tmpdir={{q .TmpfsSlot}}
    }
{{- end}}

    # The interface. Since RouterOS 7.21 it has the same name inside the container. Tailscale ignores
    # interfaces whose names begin with its own.
    /interface/veth/add name={{q .Interface}} address={{.VethAddress}} gateway={{.Gateway}}{{if .LengthSix}} gateway6={{.GatewaySix}}{{end}} comment=$container
{{- if .Bridge}}
    /interface/bridge/port/add bridge={{q .Bridge}} interface={{q .Interface}} comment=$container
{{- else}}
    /ip/address/add address={{.Gateway}}/{{.Length}} interface={{q .Interface}} comment=$container
{{- if .LengthSix}}
    /ipv6/address/add address={{.GatewaySix}}/{{.LengthSix}} interface={{q .Interface}} advertise=no comment=$container
{{- end}}
{{- end}}
{{- if .InterfaceList}}
    /interface/list/member/add list={{q .InterfaceList}} interface={{q .Interface}} comment=$container
{{- end}}

    # The route back to the tailnet: packets from there have tailnet source addresses.
    /ip/route/add dst-address={{.Tailnet}} gateway={{.Address}} comment=$container
{{- if .LengthSix}}
    /ipv6/route/add dst-address={{.TailnetSix}} gateway={{.AddressSix}} comment=$container
{{- end}}
{{- with .Remotes}}

    # Networks behind other routers in the tailnet.
{{- range .}}
    {{.Menu}}/add dst-address={{.Network}} gateway={{.Gateway}} comment=$container
{{- end}}
{{- end}}
{{- if .Port}}
    # Other nodes can connect directly to the container on this port.
    /ip/firewall/nat/add chain=dstnat action=dst-nat protocol=udp dst-port={{.Port}} in-interface-list={{q .WANList}} to-addresses={{.Address}} comment=$container
{{- end}}
{{- if and .WANList (not .Bridge)}}
    /ip/firewall/nat/add chain=srcnat action=masquerade src-address={{.Address}} out-interface-list={{q .WANList}} comment=$container
{{- if .PrivateSix}}
    /ipv6/firewall/nat/add chain=srcnat action=masquerade src-address={{.AddressSix}} out-interface-list={{q .WANList}} comment=$container
{{- end}}
{{- end}}
{{- template "rules" .}}

    # The state outlives the container. The container reads the variables at each start. The argument list exists
    # since RouterOS 7.20 for variables, and since 7.21 for mounts.
    /container/mounts/add list={{q .Name}} src={{q .State}} dst={{q .StateDir}} comment=$container
{{- range .Variables}}
    /container/envs/add list={{q $.Name}} key={{.Name}} value={{q .Value}} comment=$container
{{- end}}

    {{template "releases" .}}
    :put "fetching and unpacking the image; this takes minutes on a small router"
{{- if .InMemory}}
    # This directory tells {{.StartFile}} that the container was added since the boot.
    /file/add type=directory name={{q .Started}}
{{- end}}
    /container/add name={{q .Name}} root-dir={{.RootDir "a" | q}} {{template "arguments" .}} start-on-boot={{.OnBoot}}{{template "lasting" .}} comment=$identity
    :local seconds 0
    :while (([:len [/container/find where comment=$identity and stopped]] = 0) && ($seconds < 900)) do={
      :delay 2s
      :set seconds ($seconds + 2)
    }
    :local added [/container/find where comment=$identity and stopped]
    :if ([:len $added] = 0) do={ :error "the image could not be fetched or unpacked: see /log/print where topics~\"container\"" }
    :if ([:len [/container/get ($added->0) image-id]] = 0) do={ :error "the image could not be fetched or unpacked: see /log/print where topics~\"container\"" }
    /container/start $added
{{- if .WaitsForDisk}}

    # At boot, the disk may appear after RouterOS has tried to start the container.
    /system/scheduler/add name={{printf "%s-start" .Name | q}} start-time=startup on-event={{q .StartEvent}} policy=read,write,policy,test comment=$container
{{- end}}
{{- if .InMemory}}

    # After a boot, the image and the root directory are gone.
    /system/scheduler/add name={{printf "%s-start" .Name | q}} start-time=startup on-event={{q .StartFileEvent}} policy=ftp,read,write,policy,test,sensitive comment=$container
{{- end}}
{{- if .UpdateAt}}

    /system/scheduler/add name={{printf "%s-update" .Name | q}} start-time={{.UpdateAt}}:00 interval=1d on-event={{printf "/import file-name=%s" (q .UpdateFile) | q}} policy=ftp,read,write,policy,test,sensitive comment=$container
{{- end}}
    :put "{{.Name}} is installed and started"
{{- if not .AuthKeyFile}}
{{- if .LogsIn}}
    :put "its log contains the login URL: /log/print where topics~\"container\""
{{- else}}
    :put "log in with: /container/shell {{.Name}}, and there: tailscale up --netfilter-mode=off"
{{- end}}
{{- end}}
  } do={
    {{template "explain"}}
    :error ("{{.Name}} could not be installed: " . $problem . ". Run {{.Name}}-remove.rsc to remove what was added")
  }
}
