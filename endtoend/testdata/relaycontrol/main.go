// Program relaycontrol is Tailscale's test control server for a tailnet in which every node may be every other node's
// peer relay. It accepts every login.
package main

import (
	"flag"
	"log"
	"net"
	"net/http"

	"tailscale.com/tailcfg"
	"tailscale.com/tstest/integration/testcontrol"
)

func main() {
	address := flag.String("address", "", "IP address and port to listen on")
	relay := flag.String("derp", "", "IPv4 address of the DERP and STUN server")
	flag.Parse()
	control := &testcontrol.Server{
		ExplicitBaseURL: "http://" + *address,
		PeerRelayGrants: true,
		DERPMap: &tailcfg.DERPMap{Regions: map[int]*tailcfg.DERPRegion{900: {
			RegionID: 900, RegionCode: "test",
			Nodes: []*tailcfg.DERPNode{{
				Name: "900a", RegionID: 900, HostName: *relay, IPv4: *relay, IPv6: "none", STUNPort: 3478, DERPPort: 8443, InsecureForTests: true,
			}},
		}}},
	}
	l, err := net.Listen("tcp", *address)
	if err != nil {
		log.Fatal(err)
	}
	log.Print("listening")
	log.Fatal(http.Serve(l, control))
}
