// Package archive turns a directory with a root filesystem into a container image, and the image into a tarball that
// RouterOS imports.
//
// The same tree always results in the same bytes: on any machine, at any time, under any umask, and regardless of the
// file systems that the tree was copied through.
//
// The steps are Layer, Image and WriteTarball, in this order. WriteFile writes the result to disk.
package archive
