# Installs the image "ghcr.io/me/tailscale:stable" as the container tailscale.
#
# Copy this file to the router and run there: /import tailscale-install.rsc
# It first checks that nothing is missing. If something is, it changes nothing. Everything that it adds has the
# comment mikrotik-tailscale:tailscale, and tailscale-remove.rsc removes it, even after a failure.
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

  # Stop if something is missing or conflicts.
  :local refuse do={ :error ($1 . "; nothing was changed") }
  :if ([:len [/system/package/find where name="container" and !disabled]] = 0) do={ $refuse "the container package is not installed" }
  :if ([/system/device-mode/get container] = false) do={ $refuse "containers are switched off: /system/device-mode/update container=yes" }
  :if ([/system/device-mode/get fetch] = false) do={ $refuse "downloads by scripts are switched off: /system/device-mode/update fetch=yes" }
  :if (([:len [/container/find where comment~"^mikrotik-tailscale:tailscale "]] > 0) || ([:len [/interface/veth/find where comment=$container]] > 0) || ([:len [/disk/find where comment=$container]] > 0)) do={
    $refuse "it is already installed, at least in part: run tailscale-update.rsc to update it, or tailscale-remove.rsc to remove it"
  }
  :if ([:len [/interface/find where name="veth-tailscale"]] > 0) do={ $refuse "the interface veth-tailscale already exists" }
  :if ([:len [/container/find where name="tailscale"]] > 0) do={ $refuse "the container tailscale already exists" }
  :if ([:len [/container/envs/find where list="tailscale"]] > 0) do={ $refuse "the list of variables tailscale already exists" }
  :if ([:len [/container/mounts/find where list="tailscale"]] > 0) do={ $refuse "the list of mounts tailscale already exists" }
  :if ([:len [/ip/route/find where dst-address="100.64.0.0/10"]] > 0) do={ $refuse "a route to 100.64.0.0/10 already exists" }
  # If this directory exists, files outside of it are in memory, and a reboot removes them.
  :if ([:len [/file/find where name="flash"]] > 0) do={ $refuse "this router keeps files in the directory flash: create the scripts again with --disk flash" }
  :if ([:len [/ip/address/find where address="172.31.255.253/30"]] > 0) do={ $refuse "the address 172.31.255.253 is already in use" }
  :if ([:len [/interface/list/find where name="WAN"]] = 0) do={ $refuse ("there is no interface list " . "WAN") }
  # Without a name server, RouterOS starts no container.
  :if (([:len [/ip/dns/get servers]] = 0) && ([:len [/ip/dns/get dynamic-servers]] = 0)) do={ $refuse "the router has no name server: /ip/dns/set servers=..." }

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
  :if ($distrusted) do={ $refuse $remedy }

  :onerror problem in={
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
    :set identity ($container . " " . $identity)

    # Unpack images in memory, to spare the flash. A directory that is already set stays.
    :if ([:len [/container/config/get tmpdir]] = 0) do={
      /disk/add type=tmpfs tmpfs-max-size=32M slot="tailscale-tmp" comment=$container
      /container/config/set tmpdir="tailscale-tmp"
    }

    # The interface. Since RouterOS 7.21 it has the same name inside the container. Tailscale ignores
    # interfaces whose names begin with its own.
    /interface/veth/add name="veth-tailscale" address=172.31.255.254/30 gateway=172.31.255.253 comment=$container
    /ip/address/add address=172.31.255.253/30 interface="veth-tailscale" comment=$container

    # The route back to the tailnet: packets from there have tailnet source addresses.
    /ip/route/add dst-address=100.64.0.0/10 gateway=172.31.255.254 comment=$container
    /ip/firewall/nat/add chain=srcnat action=masquerade src-address=172.31.255.254 out-interface-list="WAN" comment=$container
    /ip/dns/static/add name="ts.net" match-subdomain=yes type=FWD forward-to=100.100.100.100 comment=$container

    # The state outlives the container. The container reads the variables at each start. The argument list exists
    # since RouterOS 7.20 for variables, and since 7.21 for mounts.
    /container/mounts/add list="tailscale" src="tailscale-state" dst="/var/lib/tailscale" comment=$container

    # envlists, check-certificate and memory-high exist since RouterOS 7.20, mountlists and layer-dir
    # since 7.21.
    :put "fetching and unpacking the image; this takes minutes on a small router"
    /container/add name="tailscale" root-dir="tailscale-root-a" interface="veth-tailscale" remote-image="ghcr.io/me/tailscale:stable" check-certificate=yes mountlists="tailscale" logging=yes start-on-boot=yes comment=$identity
    :local seconds 0
    :while (([:len [/container/find where comment=$identity and stopped]] = 0) && ($seconds < 900)) do={
      :delay 2s
      :set seconds ($seconds + 2)
    }
    :local added [/container/find where comment=$identity and stopped]
    :if ([:len $added] = 0) do={ :error "the image could not be fetched or unpacked: see /log/print where topics~\"container\"" }
    :if ([:len [/container/get ($added->0) image-id]] = 0) do={ :error "the image could not be fetched or unpacked: see /log/print where topics~\"container\"" }
    /container/start $added
    :put "tailscale is installed and started"
    :put "log in with: /container/shell tailscale, and there: tailscale up --netfilter-mode=off"
  } do={
    :if (([:len $remedy] > 0) && ($problem ~ "certificate|fetched")) do={ :set problem ($problem . "; " . $remedy) }
    :error ("tailscale could not be installed: " . $problem . ". Run tailscale-remove.rsc to remove what was added")
  }
}
