package routeros

import "fmt"

// The places of the image and the container's root directory.
const (
	RootDisk   = "disk"
	RootMemory = "memory"
)

// Roots returns the accepted values of Options.Root.
func Roots() []string { return []string{RootDisk, RootMemory} }

const (
	// imageMiB is the maximum size of an image in MiB, including images with more features, for example netstack. A
	// test compares it with the size budget.
	imageMiB = 4
	// runningMiB is the maximum memory in MiB of all processes of a container. Measured with TCP in both directions
	// at once: 46 MB.
	runningMiB = 44
	// startCopies is how often the image is in memory while a container is added: as a download, as a layer, and
	// unpacked.
	startCopies = 3
	// diskMiB is the smallest disk for an update, with the copies of the old and the new image.
	diskMiB = 2 * startCopies * imageMiB
)

func (o *Options) checkRoot(p *problems) {
	switch o.Root {
	case RootDisk:
		return
	case RootMemory:
	default:
		p.add("root", "unknown root %q: want %s, or %s", o.Root, RootDisk, RootMemory)
		return
	}
	if o.Tmpfs < diskMiB && (o.Tmpfs == 0 || o.Tmpfs >= minimumTmpfs) {
		p.add("tmpfs", "disk in memory of %d MiB: want %d or more for a root directory in memory", o.Tmpfs, diskMiB)
	}
	if o.Tarball != "" && diskOf(o.Tarball) == "" {
		p.add("tarball", "the tarball %q is on no disk: a root directory in memory needs one that outlives a restart, such as usb1/tailscale.tar", o.Tarball)
	}
}

// InMemory reports whether image and root directory are in memory, so that each boot adds the container.
func (d data) InMemory() bool { return d.Root == RootMemory }

// StartMemory returns the free memory in bytes that is needed to add and run the container if Root is RootMemory.
func (o Options) StartMemory() int { return startCopies*imageMiB<<20 + int(o.RunningMemory()) }

// UpdateMemory returns the free memory in bytes that a second container needs while the first one is running.
func (d data) UpdateMemory() int { return startCopies * imageMiB << 20 }

// RunningMemory returns the maximum memory in bytes of the container's processes.
func (o Options) RunningMemory() int64 {
	if o.Memory > 0 {
		return int64(o.Memory) << 20
	}
	return runningMiB << 20
}

// Started returns a directory in memory that exists if the container was added since the router's boot.
func (d data) Started() string { return d.TmpfsSlot + "/started" }

// TarballDisk returns the disk of the tarball.
func (d data) TarballDisk() string { return diskOf(d.Tarball) }

// StartFileEvent returns the command for the scheduler at boot. The disk with the script may appear late.
func (d data) StartFileEvent() string {
	return fmt.Sprintf(":while ([:len [/file/find where name=%[1]s]] = 0) do={ :delay 5s }; /import file-name=%[1]s", Quote(d.StartFile))
}

// OnBoot returns "yes" if RouterOS starts the container at boot. It must not if the container was in memory.
func (d data) OnBoot() string {
	if d.InMemory() {
		return "no"
	}
	return "yes"
}
