{{define "version" -}}
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
  :if (($major < 7) || (($major = 7) && ($minor < {{.Minor}}))) do={
    :error ("this script needs RouterOS 7.{{.Minor}} or later, but this router has " . $release)
  }
}
{{- end}}

{{define "discard" -}}
  # A container disappears some seconds after it is removed, and can only be removed after it has stopped.
  :local discard do={
    :local pattern $1
    :foreach one in=[/container/find where comment~$pattern] do={
{{- if .AtLeast 23}}
      # Otherwise RouterOS may start it again.
      :onerror ignored in={ /container/set $one restart-policy=no } do={}
{{- end}}
      :onerror ignored in={ /container/stop $one } do={}
      :local seconds 0
      :while (([:len [/container/find where comment~$pattern and !stopped]] > 0) && ($seconds < 60)) do={ :delay 1s; :set seconds ($seconds + 1) }
      /container/remove $one
      :set seconds 0
      :while (([:len [/container/find where comment~$pattern]] > 0) && ($seconds < 120)) do={ :delay 1s; :set seconds ($seconds + 1) }
    }
  }
{{- end}}

{{define "memory-disk" -}}
    # The disk for the image and the root directory, which would otherwise fill the flash.
    :if ([:len [/disk/find where comment=$container]] = 0) do={
      /disk/add type=tmpfs tmpfs-max-size={{.Tmpfs}}M slot={{q .TmpfsSlot}} comment=$container
    }
    :local waited 0
    :while (([:len [/file/find where name={{q .TmpfsSlot}}]] = 0) && ($waited < 30)) do={ :delay 1s; :set waited ($waited + 1) }
    :if ([:len [/file/find where name={{q .TmpfsSlot}}]] = 0) do={ :error "the memory disk {{.TmpfsSlot}} did not appear" }
    :if ([:len [/container/config/get tmpdir]] = 0) do={ /container/config/set tmpdir={{q .TmpfsSlot}} }
{{- end}}

{{define "trust" -}}
  :local remedy ""
  :local distrusted false
{{- if .Verifies}}
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
{{- end}}
{{- end}}

{{define "explain" -}}
    :if (([:len $remedy] > 0) && ($problem ~ "certificate|fetched")) do={ :set problem ($problem . "; " . $remedy) }
{{- end}}

{{define "bearer" -}}
    :set answer [:deserialize from=json value=($answer->"data")]
    :local token ($answer->"token")
    :if ([:len $token] = 0) do={ :set token ($answer->"access_token") }
    :if ([:len $token] = 0) do={ :error "the registry returned no token" }
    :set headers ($headers . ",Authorization: Bearer " . $token)
{{- end}}

{{define "identity"}}{{if .Tarball -}}
    # A tarball is identified by its {{if .Checksum}}checksum{{else}}size and date{{end}}.
    :local tarball [/file/find where name={{q .Tarball}}]
    :if ([:len $tarball] = 0) do={ :error ("there is no file " . {{q .Tarball}}) }
{{- if .Checksum}}
    :local identity {{q .Checksum}}
{{- else}}
    :local identity ("file:" . [/file/get ($tarball->0) size] . "@" . [/file/get ($tarball->0) last-modified])
{{- end}}
{{- else -}}
    # The image that the tag refers to. RouterOS fetches texts of up to 64512 bytes, and an image index has
    # about 2000. :deserialize and :onerror exist since RouterOS 7.13.
{{- if .Username}}
    :local registryUser [/container/config/get username]
    :local registryPassword [/container/config/get password]
    :if (($registryUser != {{q .Username}}) || ([:len $registryPassword] = 0)) do={
      :error ("the router has no password for the registry: /container/config/set username=" . {{q .Username}} . " password=...")
    }
{{- end}}
{{- if .Hub}}
    :local headers "Accept: application/json"
{{- if .Username}}
    :local credentials ("{\"identifier\":" . [:serialize to=json options=json.no-string-conversion value=$registryUser] . ",\"secret\":" . [:serialize to=json options=json.no-string-conversion value=$registryPassword] . "}")
    :local answer [/tool/fetch url="https://hub.docker.com/v2/auth/token" http-method=post http-header-field="Content-Type: application/json" http-data=$credentials{{.Fetch}}]
    {{template "bearer"}}
{{- end}}
    :local manifest [/tool/fetch url={{q .Manifest}} http-header-field=$headers{{.Fetch}}]
{{- else if .Token.URL}}
    :local headers {{q .Headers}}
    :local answer [/tool/fetch {{.Ask}}{{.Login}}{{.Fetch}}]
    {{template "bearer"}}
    :local manifest [/tool/fetch url={{q .Manifest}} http-header-field=$headers{{.Fetch}}]
{{- else}}
    :local headers {{q .Headers}}
    :local manifest [/tool/fetch url={{q .Manifest}} http-header-field=$headers{{.Login}}{{.Fetch}}]
{{- end}}
    :set manifest [:deserialize from=json value=($manifest->"data")]
{{- if .Platform}}
    :if (!([/system/resource/get architecture-name] ~ {{q .ArchitecturePattern}})) do={
      :error ("the image is for {{.Architecture}}, but this router is " . [/system/resource/get architecture-name])
    }
    :local architecture {{q .Platform}}
    :local variant {{q .Variant}}
{{- else}}
    :local architecture [/system/resource/get architecture-name]
    :local variant ""
    :if ($architecture ~ "^x86") do={ :set architecture "amd64" }
    :if ($architecture = "arm") do={ :set variant "v7" }
{{- end}}
    :local identity ""
{{- if .Hub}}
    :foreach entry in=($manifest->"images") do={
      :if ((($entry->"architecture") = $architecture) && (($variant = "") || (($entry->"variant") = $variant))) do={
        :set identity ($entry->"digest")
      }
    }
{{- else}}
    :if ([:typeof ($manifest->"manifests")] = "array") do={
      :foreach entry in=($manifest->"manifests") do={
        :local platform ($entry->"platform")
        :if ((($platform->"architecture") = $architecture) && (($variant = "") || (($platform->"variant") = $variant))) do={
          :set identity ($entry->"digest")
        }
      }
    } else={
      # The image of a single platform is identified by its configuration.
      :local configuration ($manifest->"config")
      :set identity ($configuration->"digest")
    }
{{- end}}
    :if (!([:tostr $identity] ~ "^sha256:[0-9a-f]+\$")) do={
      :error ({{q .Source}} . " has no image for " . $architecture . $variant)
    }
{{- end}}{{end}}

{{define "arguments" -}}
interface={{q .Interface}} {{if .Tarball}}file={{q .Tarball}}{{else}}remote-image={{q .Reference}} check-certificate={{if .Insecure}}no{{else}}yes{{end}}{{end}}{{if .Variables}} envlists={{q .Name}}{{end}} mountlists={{q .Name}}
      {{- if .Layers}} layer-dir={{q .Layers}}{{end}}
      {{- if .Hostname}} hostname={{q .Hostname}}{{end}}
      {{- if .DNS}} dns={{range $i, $a := .DNS}}{{if $i}},{{end}}{{$a}}{{end}}{{end}}
      {{- if .Memory}} memory-high={{.MemoryBytes}}{{if .AtLeast 23}} memory-max={{.MemoryMax}}{{end}}{{end}}
      {{- if .AtLeast 22}} healthcheck-cmd={{q .Alive}} healthcheck-interval={{.HealthInterval}} healthcheck-timeout=1m healthcheck-retries=3 healthcheck-start-period=10m{{end}}
      {{- if .AtLeast 24}} ignore-remote-image-change=yes{{end}} logging=yes
{{- end}}

{{define "lasting" -}}
{{if .AtLeast 23}} restart-policy=always restart-interval=10s restart-max-count=10 stop-on-unhealthy=yes{{end}}
{{- end}}

{{define "releases" -}}
# envlists, check-certificate and memory-high exist since RouterOS 7.20, mountlists and layer-dir
    # since 7.21.
{{- if .AtLeast 22}}
    # healthcheck-cmd exists since 7.22. It replaces the image's own health check, which fails if the router
    # is not logged in. "alive" only fails if the daemon does not answer: a restart does not help a router
    # that is logged out, or whose control server is down.
{{- end}}
{{- if .AtLeast 23}}
    # restart-policy, stop-on-unhealthy and memory-max exist since 7.23. Only with "always" does RouterOS
    # restart a container whose health check failed, whatever its exit code.
{{- end}}
{{- if .AtLeast 24}}
    # ignore-remote-image-change exists since 7.24. Without it, RouterOS itself fetches a changed image,
    # whether that image works or not.
{{- end}}
{{- end}}

{{define "rules"}}
{{- if and .WANList .ExitNode}}
    /ip/firewall/nat/add chain=srcnat action=masquerade src-address={{.Tailnet}} out-interface-list={{q .WANList}} comment=$container
{{- if .LengthSix}}
    /ipv6/firewall/nat/add chain=srcnat action=masquerade src-address={{.TailnetSix}} out-interface-list={{q .WANList}} comment=$container
{{- end}}
{{- end}}
{{- if .Masquerade}}
    /ip/firewall/nat/add chain=srcnat action=masquerade src-address={{.Tailnet}} dst-address=!{{.Tailnet}} comment=$container
{{- if .LengthSix}}
    /ipv6/firewall/nat/add chain=srcnat action=masquerade src-address={{.TailnetSix}} dst-address=!{{.TailnetSix}} comment=$container
{{- end}}
{{- end}}
{{- if .Firewall}}
    # Put these rules first in the chain, but after RouterOS's dynamic rules, because no rule can come before those.
{{- range .Forward}}
    :local {{.Rules}} [{{.Menu}}/find where chain="forward" and !dynamic]
    :if ([:len ${{.Rules}}] > 0) do={
      {{.Menu}}/add chain=forward action=accept in-interface={{$.Link}} comment=$container place-before=(${{.Rules}}->0)
      {{.Menu}}/add chain=forward action=accept out-interface={{$.Link}} comment=$container place-before=(${{.Rules}}->0)
    } else={
      {{.Menu}}/add chain=forward action=accept in-interface={{$.Link}} comment=$container
      {{.Menu}}/add chain=forward action=accept out-interface={{$.Link}} comment=$container
    }
{{- end}}
{{- end}}
{{- with .Clamps}}
    # The tunnel's packets are smaller than usual, and some hosts never learn that. These rules tell both
    # ends of a connection: one rule for packets to the tailnet, one for packets from it.
{{- range .}}
    {{.Menu}}/add chain=forward action=change-mss new-mss={{.MSS}} passthrough=yes protocol=tcp tcp-flags=syn tcp-mss={{.TooLarge}} out-interface={{$.Link}} comment=$container
    {{.Menu}}/add chain=forward action=change-mss new-mss={{.MSS}} passthrough=yes protocol=tcp tcp-flags=syn tcp-mss={{.TooLarge}} in-interface={{$.Link}} comment=$container
{{- end}}
{{- end}}
{{- range .MagicDNS}}
    /ip/dns/static/add name={{q .}} match-subdomain=yes type=FWD forward-to=100.100.100.100 comment=$container
{{- end}}
{{- end}}
