// Package endtoend has only tests. They start the built image as a router would, with the
// entrypoint as process 1 in namespaces of its own, between real servers: headscale and Tailscale's
// testcontrol, derper and stund. Everything is on this machine, in network namespaces that the
// tests make and remove.
package endtoend
