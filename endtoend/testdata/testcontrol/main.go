// Program testcontrol is Tailscale's test control server. It accepts every login.
package main

import (
	"crypto/tls"
	"flag"
	"log"
	"net"
	"net/http"
	"net/http/httptest"

	"tailscale.com/derp/derpserver"
	"tailscale.com/tailcfg"
	"tailscale.com/tstest/integration/testcontrol"
	"tailscale.com/types/key"
	"tailscale.com/types/logger"
)

func main() {
	address := flag.String("address", "127.0.0.1:9911", "IP address and port to listen on")
	relay := flag.String("derp", "", "IPv4 address of the DERP and STUN server. Every node may then be every other node's peer relay. The default is a DERP server of this program, on 127.0.0.1")
	flag.Parse()
	node := &tailcfg.DERPNode{Name: "900a", RegionID: 900, HostName: *relay, IPv4: *relay, IPv6: "none", STUNPort: 3478, DERPPort: 8443, InsecureForTests: true}
	if *relay == "" {
		own := serveDERP()
		node.HostName, node.IPv4, node.DERPPort, node.STUNPort = own.IP.String(), own.IP.String(), own.Port, -1
	}
	control := &testcontrol.Server{
		ExplicitBaseURL: "http://" + *address,
		PeerRelayGrants: *relay != "",
		DERPMap: &tailcfg.DERPMap{Regions: map[int]*tailcfg.DERPRegion{900: {
			RegionID: 900, RegionCode: "test", Nodes: []*tailcfg.DERPNode{node},
		}}},
	}
	l, err := net.Listen("tcp", *address)
	if err != nil {
		log.Fatal(err)
	}
	log.Print("listening")
	log.Fatal(http.Serve(l, control))
}

// serveDERP starts a DERP server on a free port of 127.0.0.1.
func serveDERP() *net.TCPAddr {
	server := httptest.NewUnstartedServer(derpserver.Handler(derpserver.New(key.NewNode(), logger.Discard)))
	// DERP replaces HTTP on its connections, which HTTP/2 doesn't allow.
	server.Config.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){}
	server.StartTLS()
	return server.Listener.Addr().(*net.TCPAddr)
}
