package endtoend

import (
	"os"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// dockerCapabilities are the capabilities that Docker grants to every container.
var dockerCapabilities = []string{"chown", "dac_override", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap", "net_bind_service",
	"net_raw", "sys_chroot", "mknod", "audit_write", "setfcap"}

// The image works with the rights in examples/fleet/compose/compose.yml, and without any others.
func TestTheRightsInTheComposeFile(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../examples/fleet/compose/compose.yml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Services struct {
			Tailscale struct {
				ReadOnly bool     `yaml:"read_only"`
				Added    []string `yaml:"cap_add"`
				Tmpfs    []string
				Devices  []string
				Sysctls  map[string]string
			}
		}
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	service := file.Services.Tailscale
	if !service.ReadOnly || len(service.Devices) != 1 || service.Devices[0] != "/dev/net/tun" {
		t.Fatalf("the file has other rights: %+v", service)
	}
	var b strings.Builder
	for _, directory := range service.Tmpfs {
		b.WriteString("mount -t tmpfs tmpfs ." + directory + "\n")
	}
	for name, value := range service.Sysctls {
		b.WriteString("echo " + value + " >proc/sys/" + strings.ReplaceAll(name, ".", "/") + "\n")
	}
	capabilities := append([]string{"-all"}, dockerCapabilities...)
	for _, name := range service.Added {
		capabilities = append(capabilities, strings.ToLower(name))
	}
	b.WriteString(`
		mount --bind proc/sys proc/sys
		mount -o remount,bind,ro proc/sys
		mount -o remount,bind,ro .
		export PATH="$path"
		exec /usr/bin/setpriv --bounding-set ` + strings.Join(capabilities, ",+") + ` -- /usr/sbin/chroot . "$@"`)
	r := newSurvivor(t, func(o *options) { o.setup = b.String() })
	if out, err := r.sh("touch /here"); err == nil {
		t.Errorf("the root filesystem can be written to: %s", out)
	}
	if out, err := r.sh("echo 0 >/proc/sys/net/ipv4/ip_forward"); err == nil {
		t.Errorf("the kernel's settings can be changed: %s", out)
	}
	if got := r.must("cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding"); got != "1\n1\n" {
		t.Errorf("forwarding is %q", got)
	}
	r.stop()
	r.again()
}
