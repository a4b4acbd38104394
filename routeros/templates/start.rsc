# Adds and starts the container {{.Name}} after each boot, because its image and root directory are in memory.
#
# Copy this file to the router. {{.Name}}-install.rsc adds it to the scheduler. To run it by hand:
# /import {{.StartFile}}
# It waits for the network and the disk, and tries again at least every ten minutes until the container is running.
# If the container is already running, it changes nothing.
# Written for RouterOS 7.{{.Minor}} and later.

{{template "version" .}}

{
  :local container {{q .Mark}}
  :local current {{q .Current}}
  :local next {{printf "^%s next " .Mark | q}}
  :local all {{q .MarkPattern}}

  {{template "discard" .}}

  :local pause 5
  :local reported ""
  :local trying true
  :while ($trying) do={
    {{deeper 2 "trust" .}}
    :onerror problem in={
      :if ([:len [/interface/veth/find where comment=$container]] = 0) do={
        :set trying false
        :error "it is not installed"
      }
      :local today [/system/clock/get date]
      :if ([:tonum [:pick $today 0 4]] < 2025) do={ :error ("the clock says " . $today . ", so no certificate is valid: /system/ntp/client/set enabled=yes") }
{{- if not .DNS}}
      :if (([:len [/ip/dns/get servers]] = 0) && ([:len [/ip/dns/get dynamic-servers]] = 0)) do={ :error "the router has no name server: /ip/dns/set servers=..." }
{{- end}}
{{- if .Verifies}}
      :if ($distrusted) do={ :error $remedy }
{{- end}}

      {{deeper 2 "memory-disk" .}}

      # This directory exists if a script has added a container since the boot. RouterOS may still be unpacking
      # its image.
      :local present [/container/find where comment~$current]
      :local unpacked false
      :local updating false
      :if ([:len [/file/find where name={{q .Started}}]] > 0) do={
        :set updating ([:len [/container/find where comment~$next]] > 0)
        :if ((!$updating) && ([:len $present] > 0)) do={
          :local seconds 0
          :while (([:len [/container/get ($present->0) image-id]] = 0) && ($seconds < 900)) do={ :delay 2s; :set seconds ($seconds + 2) }
          :set unpacked ([:len [/container/get ($present->0) image-id]] > 0)
        }
      }

      :if ($updating) do={
        :set trying false
        :error "an update is running, or was interrupted: /import {{.UpdateFile}}"
      }
      :if (!$unpacked) do={
        {{deeper 4 "identity" .}}
        # Containers from before the boot have lost their files. Starting or pulling them again is not enough: RouterOS
        # may not unpack an image that it has unpacked before.
        $discard $all
        :if ([/system/resource/get free-memory] < {{.StartMemory}}) do={
          :error ("not enough memory: " . [/system/resource/get free-memory] . " bytes are free, but {{.StartMemory}} are needed")
        }
        :if ([:len [/file/find where name={{q .Started}}]] = 0) do={ /file/add type=directory name={{q .Started}} }
        {{deeper 4 "releases" .}}
        /container/add name={{q .Name}} root-dir={{.RootDir "a" | q}} {{deeper 4 "arguments" .}} start-on-boot={{.OnBoot}}{{template "lasting" .}} comment=($container . " " . $identity)
        :local seconds 0
        :while (([:len [/container/find where comment~$current and stopped]] = 0) && ($seconds < 900)) do={ :delay 2s; :set seconds ($seconds + 2) }
        :set present [/container/find where comment~$current and stopped]
        :if ([:len $present] = 0) do={ :error "the image could not be fetched or unpacked: see /log/print where topics~\"container\"" }
        :if ([:len [/container/get ($present->0) image-id]] = 0) do={ :error "the image could not be fetched or unpacked: see /log/print where topics~\"container\"" }
      }
      :if ([:len [/container/find where comment~$current and stopped]] > 0) do={
        /container/start ($present->0)
        :delay 15s
        :if ([:len [/container/find where comment~$current and !stopped]] = 0) do={ :error "the container stopped again: see /log/print where topics~\"container\"" }
        :log info "{{.Name}} was started"
      }
      :put "{{.Name}} is started"
      :set trying false
    } do={
      {{template "explain"}}
      :if ($problem != $reported) do={
        :log warning ("{{.Name}} could not be started: " . $problem)
        :put ("{{.Name}} could not be started: " . $problem)
        :set reported $problem
      }
      :if ($trying) do={
        :delay $pause
        :set pause ($pause + $pause)
        :if ($pause > 600) do={ :set pause 600 }
      }
    }
  }
}
