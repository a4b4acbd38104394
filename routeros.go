package main

import (
	"dagger/mikrotik-tailscale/internal/dagger"
	"dagger/mikrotik-tailscale/routeros"
)

// Write scripts that install, update, remove and diagnose the container.
//
// Run them on the router with /import. The update script changes something only if the registry has
// another image, the remove script removes everything that the install script added, and the diagnose
// script prints what is wrong.
//
// No script has a key or password in it: docs/routeros.md says where they go.
func (m *MikrotikTailscale) Routeros(
	// Image in a registry, as in ghcr.io/me/tailscale:stable.
	//
	// +optional
	image string,
	// Path of the image's tarball on the router, in place of an image.
	//
	// +optional
	tarball string,
	// Name of container, lists and folders, up to 10 characters. The interface is veth-NAME.
	//
	// +optional
	// +default="tailscale"
	name string,
	// Disk or folder on the router for image and state, such as usb1 or flash. The internal storage
	// when left out.
	//
	// +optional
	disk string,
	// Platform of the image: amd64, arm64, arm or armv5. By the router's architecture when left out.
	//
	// +optional
	arch string,
	// Oldest RouterOS that the scripts have to run on.
	//
	// +optional
	// +default="7.21"
	routerosVersion string,
	// Addresses of the container with prefix length: one for IPv4, and one for IPv6 if wanted.
	//
	// +optional
	// +default=["172.31.255.254/30"]
	address []string,
	// Router's address in the network of each address.
	//
	// +optional
	// +default=["172.31.255.253"]
	gateway []string,
	// Bridge that the container joins. None when left out.
	//
	// +optional
	bridge string,
	// Networks to advertise to the tailnet.
	//
	// +optional
	subnet []string,
	// Networks behind other subnet routers, to reach from the router's own networks.
	//
	// +optional
	remoteSubnet []string,
	// Offer the router as an exit node.
	//
	// +optional
	exitNode bool,
	// Name in the tailnet. The container's when left out.
	//
	// +optional
	hostname string,
	// Address of a control server other than Tailscale's.
	//
	// +optional
	loginServer string,
	// Log in with the key in the file authkey of the state folder on the router.
	//
	// +optional
	authKeyFile bool,
	// Further arguments of tailscale up, separated by spaces.
	//
	// +optional
	extraArgs string,
	// Further variables for the container, as in GOGC=50.
	//
	// +optional
	env []string,
	// Soft limit of memory in MiB. None when 0.
	//
	// +optional
	memory int,
	// Size in MiB of a disk in memory where images are unpacked. None when 0.
	//
	// +optional
	// +default=32
	tmpfs int,
	// Name servers of the container. The router's when left out.
	//
	// +optional
	dns []string,
	// Domains that the router asks the tailnet about.
	//
	// +optional
	// +default=["ts.net"]
	magicDns []string,
	// Interface list of the way out, where addresses are translated. Nothing is translated when empty.
	//
	// +optional
	// +default="WAN"
	wanList string,
	// Show the router's address to its networks in place of the tailnet's.
	//
	// +optional
	masquerade bool,
	// Interface list that the container's interface joins, such as LAN.
	//
	// +optional
	interfaceList string,
	// Accept what is forwarded from and to the container.
	//
	// +optional
	firewall bool,
	// UDP port for direct connections, forwarded to the container, as in 41641. None when 0.
	//
	// +optional
	port int,
	// Lower the segment size of forwarded TCP connections to what fits into the tunnel.
	//
	// +optional
	clampMss bool,
	// How the registry lets people in: auto, plain, dockerhub, ghcr, gitea or gitlab.
	//
	// +optional
	// +default="auto"
	registry string,
	// Address of the registry's tokens, with its service, if the kind of registry does not say it.
	//
	// +optional
	tokenUrl string,
	// User at the registry. The password is in the router's /container/config.
	//
	// +optional
	username string,
	// Speak plain HTTP with the registry.
	//
	// +optional
	insecure bool,
	// Update without room for two images: remove the old one first.
	//
	// +optional
	inPlace bool,
	// Time of day at which the router looks for an update, as in 04:30. Never when left out.
	//
	// +optional
	updateAt string,
) (*dagger.Directory, error) {
	scripts, err := routeros.New(routeros.Options{
		Name: name, Image: image, Tarball: tarball, Disk: disk, Arch: arch, RouterOS: routerosVersion,
		Addresses: address, Gateways: gateway, Bridge: bridge,
		Subnets: subnet, RemoteSubnets: remoteSubnet, ExitNode: exitNode, Hostname: hostname, LoginServer: loginServer,
		AuthKeyFile: authKeyFile, ExtraArgs: extraArgs, Env: env, Memory: memory, Tmpfs: tmpfs,
		DNS: dns, MagicDNS: magicDns, WANList: wanList, Masquerade: masquerade,
		InterfaceList: interfaceList, Firewall: firewall, Port: port, ClampMSS: clampMss,
		Registry: registry, TokenURL: tokenUrl, Username: username, Insecure: insecure,
		InPlace: inPlace, UpdateAt: updateAt,
	})
	if err != nil {
		return nil, err
	}
	dir := dag.Directory()
	for _, s := range scripts {
		dir = dir.WithNewFile(s.Name, s.Text)
	}
	return dir, nil
}
