# Adds and starts the container tailscale after each boot, because its image and root directory are in memory.
#
# Copy this file to the router. tailscale-install.rsc adds it to the scheduler. To run it by hand:
# /import flash/tailscale-start.rsc
# It waits for the network and the disk, and tries again at least every ten minutes until the container is running.
# If the container is already running, it changes nothing.
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
  :local next "^mikrotik-tailscale:tailscale next "
  :local all "^mikrotik-tailscale:tailscale "

  # A container disappears some seconds after it is removed, and can only be removed after it has stopped.
  :local discard do={
    :local pattern $1
    :foreach one in=[/container/find where comment~$pattern] do={
      :onerror ignored in={ /container/stop $one } do={}
      :local seconds 0
      :while (([:len [/container/find where comment~$pattern and !stopped]] > 0) && ($seconds < 60)) do={ :delay 1s; :set seconds ($seconds + 1) }
      /container/remove $one
      :set seconds 0
      :while (([:len [/container/find where comment~$pattern]] > 0) && ($seconds < 120)) do={ :delay 1s; :set seconds ($seconds + 1) }
    }
  }

  :local pause 5
  :local reported ""
  :local trying true
  :while ($trying) do={
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
    :onerror problem in={
      :if ([:len [/interface/veth/find where comment=$container]] = 0) do={
        :set trying false
        :error "it is not installed"
      }
      :local today [/system/clock/get date]
      :if ([:tonum [:pick $today 0 4]] < 2025) do={ :error ("the clock says " . $today . ", so no certificate is valid: /system/ntp/client/set enabled=yes") }
      :if (([:len [/ip/dns/get servers]] = 0) && ([:len [/ip/dns/get dynamic-servers]] = 0)) do={ :error "the router has no name server: /ip/dns/set servers=..." }
      :if ($distrusted) do={ :error $remedy }

      # The disk for the image and the root directory, which would otherwise fill the flash.
      :if ([:len [/disk/find where comment=$container]] = 0) do={
        /disk/add type=tmpfs tmpfs-max-size=32M slot="tailscale-tmp" comment=$container
      }
      :local waited 0
      :while (([:len [/file/find where name="tailscale-tmp"]] = 0) && ($waited < 30)) do={ :delay 1s; :set waited ($waited + 1) }
      :if ([:len [/file/find where name="tailscale-tmp"]] = 0) do={ :error "the memory disk tailscale-tmp did not appear" }
      :if ([:len [/container/config/get tmpdir]] = 0) do={ /container/config/set tmpdir="tailscale-tmp" }

      # This directory exists if a script has added a container since the boot. RouterOS may still be unpacking
      # its image.
      :local present [/container/find where comment~$current]
      :local unpacked false
      :local updating false
      :if ([:len [/file/find where name="tailscale-tmp/started"]] > 0) do={
        :set updating ([:len [/container/find where comment~$next]] > 0)
        :if ((!$updating) && ([:len $present] > 0)) do={
          :local seconds 0
          :while (([:len [/container/get ($present->0) image-id]] = 0) && ($seconds < 900)) do={ :delay 2s; :set seconds ($seconds + 2) }
          :set unpacked ([:len [/container/get ($present->0) image-id]] > 0)
        }
      }

      :if ($updating) do={
        :set trying false
        :error "an update is running, or was interrupted: /import flash/tailscale-update.rsc"
      }
      :if (!$unpacked) do={
        # The image that the tag refers to. RouterOS fetches texts of up to 64512 bytes, and an image index has
        # about 2000. :deserialize and :onerror exist since RouterOS 7.13.
        :local headers "Accept: application/vnd.docker.distribution.manifest.v2+json,Accept: application/vnd.docker.distribution.manifest.list.v2+json,Accept: application/vnd.oci.image.manifest.v1+json,Accept: application/vnd.oci.image.index.v1+json"
        :local answer [/tool/fetch url="https://ghcr.io/token\3Fscope=repository:me/tailscale:pull" check-certificate=yes output=user as-value]
        :set answer [:deserialize from=json value=($answer->"data")]
        :local token ($answer->"token")
        :if ([:len $token] = 0) do={ :set token ($answer->"access_token") }
        :if ([:len $token] = 0) do={ :error "the registry returned no token" }
        :set headers ($headers . ",Authorization: Bearer " . $token)
        :local manifest [/tool/fetch url="https://ghcr.io/v2/me/tailscale/manifests/stable" http-header-field=$headers check-certificate=yes output=user as-value]
        :set manifest [:deserialize from=json value=($manifest->"data")]
        :local architecture [/system/resource/get architecture-name]
        :local variant ""
        :if ($architecture ~ "^x86") do={ :set architecture "amd64" }
        :if ($architecture = "arm") do={ :set variant "v7" }
        :local identity ""
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
        :if (!([:tostr $identity] ~ "^sha256:[0-9a-f]+\$")) do={
          :error ("ghcr.io/me/tailscale:stable" . " has no image for " . $architecture . $variant)
        }
        # Containers from before the boot have lost their files. Starting or pulling them again is not enough: RouterOS
        # may not unpack an image that it has unpacked before.
        $discard $all
        :if ([/system/resource/get free-memory] < 58720256) do={
          :error ("not enough memory: " . [/system/resource/get free-memory] . " bytes are free, but 58720256 are needed")
        }
        :if ([:len [/file/find where name="tailscale-tmp/started"]] = 0) do={ /file/add type=directory name="tailscale-tmp/started" }
        # envlists, check-certificate and memory-high exist since RouterOS 7.20, mountlists and layer-dir
        # since 7.21.
        /container/add name="tailscale" root-dir="tailscale-tmp/tailscale-root-a" interface="veth-tailscale" remote-image="ghcr.io/me/tailscale:stable" check-certificate=yes mountlists="tailscale" layer-dir="tailscale-tmp/tailscale-layers" logging=yes start-on-boot=no comment=($container . " " . $identity)
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
        :log info "tailscale was started"
      }
      :put "tailscale is started"
      :set trying false
    } do={
      :if (([:len $remedy] > 0) && ($problem ~ "certificate|fetched")) do={ :set problem ($problem . "; " . $remedy) }
      :if ($problem != $reported) do={
        :log warning ("tailscale could not be started: " . $problem)
        :put ("tailscale could not be started: " . $problem)
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
