# Removes the container {{.Name}} and everything that {{.Name}}-install.rsc added, even if either script was
# interrupted. Entries without the comment {{.Mark}} stay.
#
# Copy this file to the router and run there: /import {{.Name}}-remove.rsc
# Written for RouterOS 7.{{.Minor}} and later.

{{template "version" .}}

{
  # The state is the router's identity in the tailnet. Change this to false to remove the state as well.
  :local keepState true

  :local container {{q .Mark}}
  :local problems ""

  :local all {{q .MarkPattern}}
  :local present [/container/find where comment~$all]
  :if ([:len $present] > 0) do={
    # A stopped container can't be stopped again, and a running one can't be removed.
    :foreach one in=$present do={
{{- if .AtLeast 23}}
      # Otherwise RouterOS may start it again.
      :onerror ignored in={ /container/set $one restart-policy=no } do={}
{{- end}}
      :onerror ignored in={ /container/stop $one } do={}
    }
    :local seconds 0
    :while (([:len [/container/find where comment~$all and !stopped]] > 0) && ($seconds < 60)) do={ :delay 1s; :set seconds ($seconds + 1) }
    :foreach one in=$present do={ :onerror problem in={ /container/remove $one } do={ :set problems ($problems . "; " . $problem) } }
    :set seconds 0
    :while (([:len [/container/find where comment~$all]] > 0) && ($seconds < 120)) do={ :delay 1s; :set seconds ($seconds + 1) }
    :if ([:len [/container/find where comment~$all]] > 0) do={ :set problems ($problems . "; the container is still there") }
  }
{{range .Menus}}
  :onerror problem in={ {{.}}/remove [find where comment=$container] } do={ :set problems ($problems . "; " . $problem) }
{{- end}}
{{- if .Tmpfs}}

  # RouterOS puts a slash before some paths.
  :if ([:len [/disk/find where comment=$container]] > 0) do={
    :onerror problem in={
      :if ([/container/config/get tmpdir] ~ {{printf "^/?%s$" .TmpfsSlot | q}}) do={ /container/config/set tmpdir="" }
      /disk/remove [find where comment=$container]
    } do={ :set problems ($problems . "; " . $problem) }
  }
{{- end}}
{{- if .Layers}}

  :onerror problem in={ /file/remove [find where name={{q .Layers}}] } do={ :set problems ($problems . "; " . $problem) }
{{- end}}
  :if (!$keepState) do={
    :onerror problem in={ /file/remove [find where name={{q .State}}] } do={ :set problems ($problems . "; " . $problem) }
  }

  # The interface marks an installation for the other scripts, so it stays while anything else is left.
  :if ([:len $problems] = 0) do={
    :onerror problem in={ /interface/veth/remove [find where comment=$container] } do={ :set problems ($problems . "; " . $problem) }
  }
  :if ([:len $problems] > 0) do={ :error ("{{.Name}} could not be removed completely, run this script again" . $problems) }
  :put "{{.Name}} is removed"
}
