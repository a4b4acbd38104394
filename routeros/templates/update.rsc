# Updates the container {{.Name}} to the image {{q .Source}}.
#
# Copy this file to the router and run there: /import {{.UpdateFile}}
# It does nothing if that image is already running.
{{- if .InPlace}} It removes the old container before it fetches
# the new image, because there is no space for two. If that fails, run it again.
{{- else}} It fetches the new image while the old container
# is running. It starts the old container again if the new one stops, or if the old one was logged in and the new
# one is not within two minutes.
{{- end}}
# The state, the variables and the network don't change.
# Written for RouterOS 7.{{.Minor}} and later.

{{template "version" .}}

{
  :local container {{q .Mark}}
  :local current {{q .Current}}
  :local next {{printf "^%s next " .Mark | q}}
  :local last {{printf "%s last" .Mark | q}}

  {{template "discard" .}}

  # Returns the daemon's state: Running if the router is logged in, and nothing if the daemon does not answer.
  :local stateOf do={
    :local asked $1
    :local answer ""
    :onerror ignored in={ :set answer [:tostr [/container/shell $asked cmd={{q .Health}} timeout=20 as-value]] } do={}
    :return $answer
  }

  {{template "trust" .}}

  :onerror problem in={
    :if ($distrusted) do={ :error $remedy }
    :if ([:len [/interface/veth/find where comment=$container]] = 0) do={ :error "it is not installed" }
{{- if .InMemory}}
    :if ([:len [/file/find where name={{q .Started}}]] = 0) do={ :error "the container has not been added since the router booted: /import {{.StartFile}}" }
{{- end}}

    # Leftovers of an interrupted run. A new container whose old one is already replaced has passed its trial.
    :local candidate [/container/find where comment~$next]
    :if ([:len $candidate] > 0) do={
      :if (([:len [/container/find where comment~$current]] = 0) && ([:len [/container/find where comment=$last]] > 0)) do={
        :local known [/container/get ($candidate->0) comment]
        /container/set ($candidate->0) start-on-boot={{.OnBoot}}{{template "lasting" .}} comment=($container . [:pick $known ([:find $known " next "] + 5) [:len $known]])
      } else={
        $discard $next
      }
    }
    $discard ("^" . $last)

    {{template "identity" .}}

    :local old [/container/find where comment~$current]
{{- if .AtLeast 23}}
    # This happens after a run that was interrupted while the new image was on trial.
    :if ([:len $old] > 0) do={
      :if ([:tostr [/container/get ($old->0) restart-policy]] != "always") do={ /container/set ($old->0) restart-policy=always }
    }
{{- end}}
    :local same false
    :if ([:len $old] > 0) do={ :set same ([/container/get ($old->0) comment] = ($container . " " . $identity)) }
    :if ($same) do={
      :if ([:len [/container/find where comment~$current and stopped]] > 0) do={ /container/start ($old->0) }
      :put "{{.Name}} is up to date"
    } else={
      :local root {{.RootDir "a" | q}}
      :local loggedIn false
      :if ([:len $old] > 0) do={
        :set loggedIn ([$stateOf ($old->0)] ~ "Running")
{{- if .InPlace}}
        $discard $current
        :set old [:toarray ""]
{{- else}}
        # RouterOS puts a slash before some paths.
        :if ([/container/get ($old->0) root-dir] ~ {{printf "%s$" (.RootDir "a") | q}}) do={ :set root {{.RootDir "b" | q}} }
{{- if .InMemory}}
        :if ([/system/resource/get free-memory] < {{.UpdateMemory}}) do={
          :error ("not enough memory for a second image: " . [/system/resource/get free-memory] . " bytes are free, but {{.UpdateMemory}} are needed. Create the scripts again with --in-place")
        }
{{- else if .Internal}}
        :if ([/system/resource/get free-hdd-space] < {{.Room}}) do={
          :error "not enough storage for a second image: create the scripts again with --in-place"
        }
{{- end}}
{{- end}}
      }
      :local mark ($container . " next " . $identity)
      # The running container has this name if the last run was interrupted, or if RouterOS refused to rename it.
      :local title {{printf "%s-next" .Name | q}}
      :if ([:len [/container/find where name=$title]] > 0) do={ :set title {{q .Name}} }
      /container/add name=$title root-dir=$root {{template "arguments" .}} start-on-boot=no comment=$mark
      :local seconds 0
      :while (([:len [/container/find where comment=$mark and stopped]] = 0) && ($seconds < 900)) do={
        :delay 2s
        :set seconds ($seconds + 2)
      }
      :set candidate [/container/find where comment=$mark and stopped]
      :local unpacked ([:len $candidate] > 0)
      :if ($unpacked) do={ :set unpacked ([:len [/container/get ($candidate->0) image-id]] > 0) }
      :if (!$unpacked) do={
        $discard $next
        :error "the image could not be fetched or unpacked{{if not .InPlace}}, and the old container is unchanged{{end}}: see /log/print where topics~\"container\""
      }

      # Both containers have the same interface and state, so one must stop before the other starts.
      :if ([:len $old] > 0) do={
{{- if .AtLeast 23}}
        /container/set ($old->0) restart-policy=no
{{- end}}
        :onerror ignored in={ /container/stop ($old->0) } do={}
        :set seconds 0
        :while (([:len [/container/find where comment~$current and !stopped]] > 0) && ($seconds < 60)) do={ :delay 1s; :set seconds ($seconds + 1) }
      }
      :onerror ignored in={ /container/start ($candidate->0) } do={}
      :delay 15s
      :local failure ""
      :local doubt ""
      :if ([:len [/container/find where comment=$mark and !stopped]] = 0) do={ :set failure "stopped again" }
      # A release may start and still not work. That only shows if the old one worked.
      :if ($loggedIn && ([:len $failure] = 0)) do={
        :local condition [$stateOf ($candidate->0)]
        :set seconds 15
        :while ((!($condition ~ "Running")) && ($seconds < 120)) do={
          :delay 5s
          :set seconds ($seconds + 5)
          :set condition [$stateOf ($candidate->0)]
        }
        :if (!($condition ~ "Running")) do={
          :if ([:len $old] > 0) do={ :set failure "was not logged in after two minutes" } else={ :set doubt ", but was not logged in after two minutes" }
        }
      }
      :if ([:len $failure] > 0) do={
        :if ([:len $old] = 0) do={ :error ("the new image " . $failure) }
        $discard $next
{{- if .AtLeast 23}}
        /container/set ($old->0) restart-policy=always
{{- end}}
        /container/start ($old->0)
        :error ("the new image " . $failure . ", so the old one was started again")
      }
      # From here on, a reboot starts the new container.
      :if ([:len $old] > 0) do={ /container/set ($old->0) start-on-boot=no comment=$last }
      /container/set ($candidate->0) start-on-boot={{.OnBoot}}{{template "lasting" .}} comment=($container . " " . $identity)
      $discard ("^" . $last)
      :onerror ignored in={ /container/set ($candidate->0) name={{q .Name}} } do={}
      :if ([:len $doubt] > 0) do={ :log warning ("{{.Name}} was updated" . $doubt) } else={ :log info ("{{.Name}} was updated: " . $identity) }
      :put ("{{.Name}} was updated" . $doubt)
    }
  } do={
    {{template "explain"}}
    :log error ("{{.Name}} could not be updated: " . $problem)
    :error ("{{.Name}} could not be updated: " . $problem)
  }
}
