// Package archive turns a directory that holds a root filesystem into a container image, and the
// image into the tarball that RouterOS imports. The same tree always gives the same bytes: on any
// machine, at any time, under any umask, and whichever file systems the tree has travelled through.
//
// The steps are Layer, Image and WriteTarball, in this order; WriteFile puts the result on disk.
package archive
