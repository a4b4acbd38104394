package main

import (
	"fmt"

	"dagger/mikrotik-tailscale/internal/dagger"
	"dagger/mikrotik-tailscale/routeros"
	"dagger/mikrotik-tailscale/routeros/page"
	"dagger/mikrotik-tailscale/routeros/page/choices"
)

// Write scripts that install, update, remove and diagnose the container.
//
// Run them on the router with /import. The update script replaces the image if the registry has another one, the remove script removes everything that the install script added, and the diagnose script prints what is wrong. With a root in memory, the start script adds the container at each boot.
//
// Scripts contain no keys or passwords. docs/routeros.md says where to put them.
func (m *MikrotikTailscale) Routeros(
	// Image in a registry, for example ghcr.io/me/tailscale:stable.
	//
	// +optional
	image string,
	// Path of the image's tarball on the router, instead of an image.
	//
	// +optional
	tarball string,
	// SHA-256 of the tarball, as sha256: and 64 digits. Without it, the router tells tarballs apart by size and date.
	//
	// +optional
	checksum string,
	// Name of the container and its lists and directories, up to 10 characters. The interface is called veth-NAME.
	//
	// +optional
	// +default="tailscale"
	name string,
	// Disk or directory on the router for image and state, for example usb1 or flash. Defaults to the internal storage.
	//
	// +optional
	disk string,
	// Where the image is. MEMORY is for boards with too little flash: only the state is on the disk, and each boot fetches the image.
	//
	// +optional
	// +default="disk"
	root Root,
	// Platform of the image: amd64, arm64, arm or armv5. By default, the router's architecture decides.
	//
	// +optional
	arch string,
	// Oldest RouterOS release that the scripts must run on.
	//
	// +optional
	// +default="7.21"
	routerosVersion string,
	// Addresses of the container with prefix length: one for IPv4, optionally one for IPv6.
	//
	// +optional
	// +default=["172.31.255.254/30"]
	address []string,
	// The router's address in the network of each address.
	//
	// +optional
	// +default=["172.31.255.253"]
	gateway []string,
	// Bridge that the container joins. By default none.
	//
	// +optional
	bridge string,
	// Networks behind the router to advertise to the tailnet.
	//
	// +optional
	subnet []string,
	// Networks behind other subnet routers that the router's own networks can reach.
	//
	// +optional
	remoteSubnet []string,
	// Offer the router as an exit node.
	//
	// +optional
	exitNode bool,
	// Name in the tailnet. Defaults to the container's name.
	//
	// +optional
	hostname string,
	// URL of another control server than Tailscale's.
	//
	// +optional
	loginServer string,
	// Log in with the key in the file authkey in the state directory on the router.
	//
	// +optional
	authKeyFile bool,
	// More arguments for tailscale up, separated by spaces.
	//
	// +optional
	extraArgs string,
	// More environment variables for the container, for example GOGC=50. The command calls this --env, which is a flag of dagger itself since 1.0.
	//
	// +optional
	containerEnv []string,
	// Soft memory limit in MiB. 0 means none.
	//
	// +optional
	memory int,
	// Size in MiB of a disk in memory for unpacking images. 0 means none.
	//
	// +optional
	// +default=32
	tmpfs int,
	// Name servers of the container. Defaults to the router's.
	//
	// +optional
	dns []string,
	// Domains that the router resolves in the tailnet.
	//
	// +optional
	// +default=["ts.net"]
	magicDns []string,
	// Interface list of the way to the internet, for source NAT. Empty means no NAT.
	//
	// +optional
	// +default="WAN"
	wanList string,
	// Hosts behind the router see the router's address instead of tailnet addresses.
	//
	// +optional
	masquerade bool,
	// Interface list that the container's interface joins, for example LAN.
	//
	// +optional
	interfaceList string,
	// Add rules that accept forwarded packets from and to the container.
	//
	// +optional
	firewall bool,
	// UDP port for direct connections, forwarded to the container, for example 41641. 0 means none.
	//
	// +optional
	port int,
	// Lower the segment size of forwarded TCP connections to fit into the tunnel.
	//
	// +optional
	clampMss bool,
	// Kind of registry, for updates. AUTO decides by the image's host.
	//
	// +optional
	// +default="auto"
	registry Registry,
	// URL of the registry's token server, for registries that the kind doesn't know.
	//
	// +optional
	tokenUrl string,
	// User name for the registry. The password is in the router's /container/config.
	//
	// +optional
	username string,
	// Use plain HTTP to the registry.
	//
	// +optional
	insecure bool,
	// Update without space for two images: remove the old image first.
	//
	// +optional
	inPlace bool,
	// What to write. APP is an app for RouterOS's /app, with the scripts for what an app can't do.
	//
	// +optional
	// +default="scripts"
	script Script,
	// With script APP: sites of a store and their networks, for example home=192.168.88.0/24.
	//
	// +optional
	site []string,
	// Time of day when the router looks for an update, for example 04:30. By default never.
	//
	// +optional
	updateAt string,
) (*dagger.Directory, error) {
	o := routeros.Options{
		Name: name, Image: image, Tarball: tarball, Checksum: checksum, Disk: disk, Root: string(root), Arch: arch, RouterOS: routerosVersion,
		Addresses: address, Gateways: gateway, Bridge: bridge,
		Subnets: subnet, RemoteSubnets: remoteSubnet, ExitNode: exitNode, Hostname: hostname, LoginServer: loginServer,
		AuthKeyFile: authKeyFile, ExtraArgs: extraArgs, Env: containerEnv, Memory: memory, Tmpfs: tmpfs,
		DNS: dns, MagicDNS: magicDns, WANList: wanList, Masquerade: masquerade,
		InterfaceList: interfaceList, Firewall: firewall, Port: port, ClampMSS: clampMss,
		Registry: string(registry), TokenURL: tokenUrl, Username: username, Insecure: insecure,
		InPlace: inPlace, UpdateAt: updateAt,
	}
	scripts, err := routerosScripts(o, script, site)
	if err != nil {
		return nil, err
	}
	dir := dag.Directory()
	for _, s := range scripts {
		dir = dir.WithNewFile(s.Name, s.Text)
	}
	return dir, nil
}

// Return a web page that makes the scripts for routers in a browser.
//
// The page is one HTML file. It works offline and on any web server, and sends nothing anywhere. The options fill its form in, and anyone who opens the page can change them.
func (m *MikrotikTailscale) Page(
	// Image in a registry that the form begins with, for example ghcr.io/me/tailscale:stable.
	//
	// +optional
	image string,
	// More options that the form begins with, each as NAME=VALUE with the names of the function routeros, for example firewall=true.
	//
	// +optional
	options []string,
) (*dagger.File, error) {
	initial, err := choices.Parse(options)
	if err != nil {
		return nil, err
	}
	if image != "" {
		initial.Set("image", image)
	}
	stage, err := page.Stage(initial)
	if err != nil {
		return nil, err
	}
	return m.output(stage, nil), nil
}

// routerosScripts returns the scripts, or the files of an app.
func routerosScripts(o routeros.Options, script Script, siteTexts []string) ([]routeros.Script, error) {
	if script != App {
		if len(siteTexts) > 0 {
			return nil, fmt.Errorf("sites are for apps: want the script %s with the site %s", App, siteTexts[0])
		}
		return routeros.New(o)
	}
	sites, err := routeros.ParseSites(siteTexts)
	if err != nil {
		return nil, err
	}
	return routeros.App(o, sites)
}
