# Updates the container tailscale to the image "ghcr.io/me/tailscale:stable".
#
# Copy this file to the router and run there: /import tailscale-update.rsc
# It does nothing if that image is already running. It fetches the new image while the old container
# is running. It starts the old container again if the new one stops, or if the old one was logged in and the new
# one is not within two minutes.
# The state, the variables and the network don't change.
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
  :local last "mikrotik-tailscale:tailscale last"

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

  # Returns the daemon's state: Running if the router is logged in, and nothing if the daemon does not answer.
  :local stateOf do={
    :local asked $1
    :local answer ""
    :onerror ignored in={ :set answer [:tostr [/container/shell $asked cmd="/usr/local/bin/healthcheck" timeout=20 as-value]] } do={}
    :return $answer
  }

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
    :if ($distrusted) do={ :error $remedy }
    :if ([:len [/interface/veth/find where comment=$container]] = 0) do={ :error "it is not installed" }

    # Leftovers of an interrupted run. A new container whose old one is already replaced has passed its trial.
    :local candidate [/container/find where comment~$next]
    :if ([:len $candidate] > 0) do={
      :if (([:len [/container/find where comment~$current]] = 0) && ([:len [/container/find where comment=$last]] > 0)) do={
        :local known [/container/get ($candidate->0) comment]
        /container/set ($candidate->0) start-on-boot=yes comment=($container . [:pick $known ([:find $known " next "] + 5) [:len $known]])
      } else={
        $discard $next
      }
    }
    $discard ("^" . $last)

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

    :local old [/container/find where comment~$current]
    :local same false
    :if ([:len $old] > 0) do={ :set same ([/container/get ($old->0) comment] = ($container . " " . $identity)) }
    :if ($same) do={
      :if ([:len [/container/find where comment~$current and stopped]] > 0) do={ /container/start ($old->0) }
      :put "tailscale is up to date"
    } else={
      :local root "tailscale-root-a"
      :local loggedIn false
      :if ([:len $old] > 0) do={
        :set loggedIn ([$stateOf ($old->0)] ~ "Running")
        # RouterOS puts a slash before some paths.
        :if ([/container/get ($old->0) root-dir] ~ "tailscale-root-a\$") do={ :set root "tailscale-root-b" }
        :if ([/system/resource/get free-hdd-space] < 6291456) do={
          :error "not enough storage for a second image: create the scripts again with --in-place"
        }
      }
      :local mark ($container . " next " . $identity)
      # The running container has this name if the last run was interrupted, or if RouterOS refused to rename it.
      :local title "tailscale-next"
      :if ([:len [/container/find where name=$title]] > 0) do={ :set title "tailscale" }
      /container/add name=$title root-dir=$root interface="veth-tailscale" remote-image="ghcr.io/me/tailscale:stable" check-certificate=yes mountlists="tailscale" logging=yes start-on-boot=no comment=$mark
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
        :error "the image could not be fetched or unpacked, and the old container is unchanged: see /log/print where topics~\"container\""
      }

      # Both containers have the same interface and state, so one must stop before the other starts.
      :if ([:len $old] > 0) do={
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
        /container/start ($old->0)
        :error ("the new image " . $failure . ", so the old one was started again")
      }
      # From here on, a reboot starts the new container.
      :if ([:len $old] > 0) do={ /container/set ($old->0) start-on-boot=no comment=$last }
      /container/set ($candidate->0) start-on-boot=yes comment=($container . " " . $identity)
      $discard ("^" . $last)
      :onerror ignored in={ /container/set ($candidate->0) name="tailscale" } do={}
      :if ([:len $doubt] > 0) do={ :log warning ("tailscale was updated" . $doubt) } else={ :log info ("tailscale was updated: " . $identity) }
      :put ("tailscale was updated" . $doubt)
    }
  } do={
    :if (([:len $remedy] > 0) && ($problem ~ "certificate|fetched")) do={ :set problem ($problem . "; " . $remedy) }
    :log error ("tailscale could not be updated: " . $problem)
    :error ("tailscale could not be updated: " . $problem)
  }
}
