package deploy

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"github.com/pkg/sftp"

	"dagger/mikrotik-tailscale/routeros"
)

// Facts are the facts that a router reports about itself.
type Facts struct {
	Identity     string `json:"identity"`
	Board        string `json:"board"`
	Model        string `json:"model,omitempty"`
	Architecture string `json:"architecture"`
	RouterOS     string `json:"routeros"`
	// FreeFlash and FreeMemory are in bytes.
	FreeFlash  int64 `json:"free_flash"`
	FreeMemory int64 `json:"free_memory"`
	// FlashDirectory is true if a reboot deletes files outside of the directory flash.
	FlashDirectory bool `json:"flash_directory"`
	// Package is true if the container package is installed.
	Package bool `json:"container_package"`
	// Containers is the setting for containers in device-mode: true, false, or empty on releases without it.
	Containers string `json:"device_mode,omitempty"`
	// Disks are the disks for files, without disks in memory.
	Disks []Disk `json:"disks,omitempty"`

	// Installed describes the installed container.
	Installed Installed `json:"installed"`
}

// Disk is a disk of the router.
type Disk struct {
	Name string `json:"name"`
	Free int64  `json:"free"`
}

// Installed describes an installation on a router.
type Installed struct {
	// Image identifies the image of the container, for example as sha256: and 64 digits. It is empty if there is no
	// container that works, or if it is being updated.
	Image string `json:"image,omitempty"`
	// Disk is the disk with the container's root directory. It is empty for the internal storage.
	Disk string `json:"disk,omitempty"`
	// Stopped is true if the container is not running.
	Stopped bool `json:"stopped,omitempty"`
	// Leftovers is true if there are entries without a container, because an installation or a removal was
	// interrupted.
	Leftovers bool `json:"leftovers,omitempty"`
	// Options are the options of the installation, if this command installed it.
	Options *routeros.Options `json:"-"`
}

// recordName returns the file with the options of an installation. It contains no secrets.
func recordName(o routeros.Options) string { return path.Join(o.Disk, o.Name+"-deploy.json") }

// Inspect reads the router's facts and its installation with the given name. It changes nothing.
func Inspect(ctx context.Context, access Access, a Address, name string) (Facts, error) {
	c, err := dial(ctx, access, a)
	if err != nil {
		return Facts{}, err
	}
	defer c.close()
	return c.inspect(ctx, name)
}

func (c *connection) inspect(ctx context.Context, name string) (f Facts, err error) {
	answer, err := c.ask(ctx, `:put ("version: " . [/system/resource/get version])`,
		`:put ("architecture: " . [/system/resource/get architecture-name])`,
		`:put ("board: " . [/system/resource/get board-name])`,
		`:put ("flash: " . [/system/resource/get free-hdd-space])`,
		`:put ("memory: " . [/system/resource/get free-memory])`,
		`:put ("identity: " . [/system/identity/get name])`,
		`:put ("package: " . [:len [/system/package/find where name="container" and !disabled]])`,
		`:put ("directory: " . [:len [/file/find where name="flash"]])`)
	if err != nil {
		return f, fmt.Errorf("asking the router what it is (RouterOS %s or later is needed): %w", routeros.MinimumRouterOS, err)
	}
	f.RouterOS, _, _ = strings.Cut(answer.one("version"), " ")
	f.Architecture, f.Board, f.Identity = answer.one("architecture"), answer.one("board"), answer.one("identity")
	f.FreeFlash, f.FreeMemory = number(answer.one("flash")), number(answer.one("memory"))
	f.Package, f.FlashDirectory = answer.one("package") != "0", answer.one("directory") != "0"

	// Not every router has these.
	for command, put := range map[string]func(answers){
		`:put ("model: " . [/system/routerboard/get model])`:                                                                                      func(a answers) { f.Model = a.one("model") },
		`:put ("containers: " . [/system/device-mode/get container])`:                                                                             func(a answers) { f.Containers = a.one("containers") },
		`:foreach one in=[/disk/find] do={ :put ("disk: " . [/disk/get $one free] . " " . [/disk/get $one type] . " " . [/disk/get $one slot]) }`: func(a answers) { f.Disks = disks(a["disk"]) },
	} {
		answer, err := c.ask(ctx, command)
		switch {
		case errors.As(err, new(refusal)):
		case err != nil:
			return f, err
		default:
			put(answer)
		}
	}
	// Without the package, the console doesn't know the menu.
	if f.Package {
		f.Installed, err = c.installed(ctx, f, name)
	}
	return f, err
}

func (c *connection) installed(ctx context.Context, f Facts, name string) (i Installed, err error) {
	o := routeros.Default()
	o.Name = name
	mark, quoted := o.Mark(), routeros.Quote(o.Mark())
	pattern := routeros.Quote("^" + mark + " ")
	answer, err := c.ask(ctx,
		`:foreach one in=[/container/find where comment~`+pattern+`] do={ :put ("container: " . [/container/get $one comment]); :put ("root: " . [/container/get $one root-dir]); :put ("id: " . [/container/get $one image-id]) }`,
		`:put ("stopped: " . [:len [/container/find where comment~`+pattern+` and stopped]])`,
		`:put ("other: " . ([:len [/interface/veth/find where comment=`+quoted+`]] + [:len [/disk/find where comment=`+quoted+`]]))`)
	if err != nil {
		return i, fmt.Errorf("asking the router what is installed: %w", err)
	}
	for n, comment := range answer["container"] {
		identity := strings.TrimPrefix(comment, mark+" ")
		// A container without an image ID has an image that could not be unpacked.
		if strings.Contains(identity, ":") && !strings.Contains(identity, " ") && answer["id"][n] != "" {
			i.Image = identity
			i.Disk = strings.Trim(path.Dir("/"+strings.TrimPrefix(answer["root"][n], "/")), "/")
		}
	}
	i.Stopped = i.Image != "" && answer.one("stopped") != "0"
	i.Leftovers = i.Image == "" && (len(answer["container"]) > 0 || answer.one("other") != "0")
	if i.Image == "" {
		return i, nil
	}
	// If the image is in memory, its record is next to the state.
	places := []string{i.Disk, f.storage()}
	for _, d := range f.Disks {
		places = append(places, d.Name)
	}
	for _, o.Disk = range places {
		if i.Options, err = c.record(o); i.Options != nil || err != nil {
			break
		}
	}
	return i, err
}

// storage returns the directory in which files survive a reboot.
func (f Facts) storage() string {
	if f.FlashDirectory {
		return "flash"
	}
	return ""
}

// record reads the options of an installation.
func (c *connection) record(of routeros.Options) (*routeros.Options, error) {
	name := recordName(of)
	var text []byte
	err := c.files(func(files *sftp.Client) error {
		f, err := files.Open(absolute(name))
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		text, err = io.ReadAll(io.LimitReader(f, 64<<10))
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, c.explain(err))
	}
	// Options that an older version of this command didn't know have their defaults.
	o := routeros.Default()
	if err := json.Unmarshal(text, &o); err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	return &o, nil
}

// answers are the lines that a router printed, by the text before the colon.
type answers map[string][]string

func (a answers) one(key string) string { return cmp.Or(append(a[key], "")...) }

// ask runs commands that print a name before each value.
func (c *connection) ask(ctx context.Context, commands ...string) (answers, error) {
	text, err := c.run(ctx, strings.Join(commands, "; "))
	if err != nil {
		return nil, err
	}
	a := answers{}
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(line, ":")
		a[key] = append(a[key], strings.TrimSpace(value))
	}
	return a, nil
}

func disks(lines []string) (all []Disk) {
	for _, line := range lines {
		fields := strings.SplitN(line, " ", 3)
		if len(fields) == 3 && fields[1] != "tmpfs" && number(fields[0]) > 0 {
			all = append(all, Disk{Name: fields[2], Free: number(fields[0])})
		}
	}
	return all
}

// number parses a number of bytes. It returns 0 if there is none.
func number(text string) int64 {
	n, _ := strconv.ParseInt(text, 10, 64)
	return n
}
