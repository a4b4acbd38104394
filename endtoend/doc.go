// Package endtoend only contains tests. They start the built image like a router does, with the entrypoint as process
// 1 in its own namespaces, between real servers: headscale and Tailscale's testcontrol, derper and stund. Everything
// runs on this machine, in network namespaces that the tests create and remove.
package endtoend
