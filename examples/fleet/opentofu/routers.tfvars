image          = "registry.example/me/tailscale:1.104.5-mt.1"
ca_certificate = "routers-ca.pem"
routers = {
  attic  = { address = "192.168.88.1", subnets = ["192.168.88.0/24"] }
  office = { address = "192.168.89.1", subnets = ["192.168.89.0/24", "fd89::/64"] }
}
