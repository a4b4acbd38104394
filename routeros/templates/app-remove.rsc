# Removes everything that {{.AppName}}-app-setup.rsc added, except for the app itself.
#
# Copy this file to the router and run there: /import {{.AppName}}-app-remove.rsc
# Written for RouterOS 7.{{.Minor}} and later.

{{template "version" .}}

{
  :local container {{q .Mark}}
  :local problems ""
  :onerror problem in={ /system/scheduler/remove [find where comment=$container] } do={ :set problems ($problems . "; " . $problem) }
{{- range .AppMenus}}
  :onerror problem in={ {{.}}/remove [find where comment=$container] } do={ :set problems ($problems . "; " . $problem) }
{{- end}}
  :if ([:len $problems] > 0) do={ :error ("{{.AppName}}: could not remove everything, run this script again" . $problems) }
  :put "removed the routes and rules of {{.AppName}}. To remove the app: /app/disable {{.AppName}}, then /app/remove {{.AppName}}"
}
