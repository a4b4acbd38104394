# Adds what the app {{.AppName}} can't contain: the routes to the tailnet, and the firewall rules.
#
# {{if .Store}}Add the store to the router first: /app/settings/set app-store-urls=...
# Copy this file to the router{{else}}Copy this file and {{.AppFile}} to the router{{end}}, and run there: /import {{.AppName}}-app-setup.rsc
# It {{if not .Store}}adds the app if it is missing, and {{end}}enables it. You can run it again: it adds nothing twice.
# Everything that it adds, except for the app, has the comment {{.Mark}}.
# Written for RouterOS 7.{{.Minor}} and later.

{{template "version" .}}

{
  :local container {{q .Mark}}
  :local refuse do={ :error ($1 . "; nothing was changed") }
  :if (!([/system/resource/get architecture-name] ~ "^(arm64|x86)")) do={ $refuse ("apps need arm64 or x86, but this router is " . [/system/resource/get architecture-name]) }
  :if ([:len [/system/package/find where name="container" and !disabled]] = 0) do={ $refuse "the container package is not installed" }
  :if ([/system/device-mode/get container] = false) do={ $refuse "containers are switched off: /system/device-mode/update container=yes" }
  :if ([/system/device-mode/get scheduler] = false) do={ $refuse "the scheduler is switched off: /system/device-mode/update scheduler=yes" }
  :if ([:len [/app/settings/get disk]] = 0) do={ $refuse "no disk is set for apps: /app/settings/set disk=..." }
  :if ([:len [/file/find where name={{printf "%s-app-setup.rsc" .AppName | q}}]] = 0) do={ $refuse ("there is no file " . {{printf "%s-app-setup.rsc" .AppName | q}} . ", which the scheduler runs when the app's address changes") }
  :local apps [/app/find where name={{q .AppName}}]
{{- if .Store}}
  :if ([:len $apps] = 0) do={ $refuse "there is no app {{.AppName}}: /app/settings/set app-store-urls=..." }
{{- else}}
  :local source [/file/find where name={{q .AppFile}}]
  :if (([:len $apps] = 0) && ([:len $source] = 0)) do={ $refuse "there is no file {{.AppFile}}" }
{{- end}}
  :if ([:len [/interface/veth/find where name={{q .Interface}}]] > 0) do={ $refuse "the interface {{.Interface}} already exists: the scripts for a container without an app have added it" }
{{- range .Routes}}
  :if ([:len [{{.Menu}}/find where dst-address="{{.Network}}"]] > [:len [{{.Menu}}/find where dst-address="{{.Network}}" and comment=$container]]) do={ $refuse "a route to {{.Network}} already exists" }
{{- end}}
{{- if and .WANList .ExitNode}}
  :if ([:len [/interface/list/find where name={{q .WANList}}]] = 0) do={ $refuse ("there is no interface list " . {{q .WANList}}) }
{{- end}}
{{- if .InterfaceList}}
  :if ([:len [/interface/list/find where name={{q .InterfaceList}}]] = 0) do={ $refuse ("there is no interface list " . {{q .InterfaceList}}) }
{{- end}}

  :onerror problem in={
{{- if not .Store}}
    :if ([:len $apps] = 0) do={
      /app/add yaml=[/file/get ($source->0) contents]
      :set apps [/app/find where name={{q .AppName}}]
      :if ([:len $apps] = 0) do={ :error "RouterOS did not accept {{.AppFile}}" }
    }
{{- end}}
    :if ([:len [/app/find where name={{q .AppName}} and disabled]] > 0) do={ /app/enable ($apps->0) }
    :put "waiting for the app to start; this takes minutes on a small router"
    :local seconds 0
    :while (([:len [/app/find where name={{q .AppName}} and running]] = 0) && ($seconds < 900)) do={ :delay 5s; :set seconds ($seconds + 5) }
    :if ([:len [/app/find where name={{q .AppName}} and running]] = 0) do={ :error "the app is not running: see /app/print, and /log/print where topics~\"container\"" }

    # RouterOS has chosen the app's interface and address.
    :local link [/app/get ($apps->0) interface]
    :local veths [/interface/veth/find where name=$link]
    :if ([:len $veths] = 0) do={ :error ("the app has no interface " . $link) }
    :local hop [:tostr [/interface/veth/get ($veths->0) address]]
    :set hop [:pick $hop 0 [:find $hop "/"]]

    # Entries of an earlier run may have an old address or interface.
{{- range .AppMenus}}
    {{.}}/remove [find where comment=$container]
{{- end}}
    # The route back to the tailnet: packets from there have tailnet source addresses.
    /ip/route/add dst-address={{.Tailnet}} gateway=$hop comment=$container
{{- range .Remotes}}
    {{.Menu}}/add dst-address={{.Network}} gateway=$hop comment=$container
{{- end}}
{{- if .InterfaceList}}
    /interface/list/member/add list={{q .InterfaceList}} interface=$link comment=$container
{{- end}}
{{- template "rules" .}}
    :if ([:len [/system/scheduler/find where comment=$container]] = 0) do={
      /system/scheduler/add name={{printf "%s-app" .AppName | q}} start-time=startup interval=1m on-event={{q .AppWatch}} policy=ftp,read,write,policy,test,sensitive comment=$container
    }
    :put ("{{.AppName}} runs at " . $hop . ", and its log contains the login URL: /log/print where topics~\"container\"")
  } do={
    :error ("{{.AppName}} could not be set up: " . $problem . ". Run this script again, or run {{.AppName}}-app-remove.rsc")
  }
}
