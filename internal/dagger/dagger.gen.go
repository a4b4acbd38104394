// Package dagger stands in for the package that the Dagger engine generates here when it loads the module, so that a
// fresh clone compiles with just the Go toolchain. It only has the names that the module uses. The engine replaces it in
// its own copy. Don't commit a generated file in its place.
package dagger

import (
	"dagger.io/dagger"
	// The generated file imports these packages, so go.mod must have their versions.
	_ "github.com/dagger/otel-go"
	_ "github.com/dagger/querybuilder"
)

type (
	CacheVolume                   = dagger.CacheVolume
	Client                        = dagger.Client
	Container                     = dagger.Container
	ContainerOpts                 = dagger.ContainerOpts
	ContainerWithFileOpts         = dagger.ContainerWithFileOpts
	ContainerWithMountedCacheOpts = dagger.ContainerWithMountedCacheOpts
	ContainerWithNewFileOpts      = dagger.ContainerWithNewFileOpts
	Directory                     = dagger.Directory
	DirectoryWithFileOpts         = dagger.DirectoryWithFileOpts
	ExecError                     = dagger.ExecError
	File                          = dagger.File
	Secret                        = dagger.Secret
	Service                       = dagger.Service
	Platform                      = dagger.Platform
)

const CacheSharingModeLocked = dagger.CacheSharingModeLocked
