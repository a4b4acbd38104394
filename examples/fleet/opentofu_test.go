package fleet

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"dagger/mikrotik-tailscale/endtoend/testmode"
	"dagger/mikrotik-tailscale/endtoend/testtools"
)

// The programs that check the configuration are built from source.
const (
	tofuModule      = "github.com/opentofu/opentofu"
	tofuVersion     = "v1.12.6"
	providerModule  = "github.com/terraform-routeros/terraform-provider-routeros"
	providerAddress = "terraform-routeros/routeros"
)

// program builds a program of a module with the replacements in its go.mod, like its authors, because "go install"
// refuses them.
func program(t *testing.T, path, version, folder string) string {
	t.Helper()
	testmode.Long(t)
	name := filepath.Base(filepath.Join(path, folder))
	return testtools.CachedProgram(t, path+"@"+version, name, func(directory string) {
		source := t.TempDir()
		if err := os.CopyFS(source, os.DirFS(module(t, path, version))); err != nil {
			t.Fatal(err)
		}
		build := testtools.QuickGo(t.Context(), "build", "-o", filepath.Join(directory, name), "./"+folder)
		build.Dir = source
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("building %s: %v\n%s", path, err, out)
		}
	})
}

// tofu runs OpenTofu on a configuration, with the provider in the version that the example pins.
func tofu(t *testing.T, dir string, args ...string) (string, error) {
	t.Helper()
	pinned := regexp.MustCompile(`source  = "` + providerAddress + `"\s+version = "([^"]+)"`).FindStringSubmatch(read(t, "opentofu/main.tf"))
	if pinned == nil {
		t.Fatal("main.tf pins no provider")
	}
	provider := program(t, providerModule, "v"+pinned[1], ".")
	settings := filepath.Join(t.TempDir(), "tofurc")
	text := fmt.Sprintf("provider_installation {\n  dev_overrides {\n    %q = %q\n  }\n  direct {}\n}\n", providerAddress, filepath.Dir(provider))
	if err := os.WriteFile(settings, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	env := []string{"TF_CLI_CONFIG_FILE=" + settings, "CHECKPOINT_DISABLE=1", "TF_VAR_password=hunter2", "TF_VAR_auth_key=tskey-auth-1"}
	return run(t, dir, env, append([]string{program(t, tofuModule, tofuVersion, "cmd/tofu")}, args...)...)
}

// validate returns the arguments for tofu. The routers determine the providers.
var validate = []string{"validate", "-no-color", "-var-file=routers.tfvars"}

func TestTheConfigurationIsValid(t *testing.T) {
	if out, err := tofu(t, "opentofu", "fmt", "-check", "-diff"); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err := tofu(t, "opentofu", validate...); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	for name, c := range map[string]struct{ from, to, want string }{
		"an unknown resource":       {`resource "routeros_system_ntp_client"`, `resource "routeros_system_ntp_server_client"`, "routeros_system_ntp_server_client"},
		"an unknown argument":       {"servers  = ", "server   = ", "server"},
		"a wrong type":              {"enabled  = true", "enabled  = [true]", "enabled"},
		"an unknown attribute":      {"self.architecture_name)", "self.architecture)", "architecture"},
		"an undeclared variable":    {"IMAGE           = var.image", "IMAGE           = var.images", "images"},
		"a provider without router": {"provider = routeros.each[each.key]\n  enabled", "provider = routeros.every[each.key]\n  enabled", "every"},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := tofu(t, changed(t, "opentofu", "main.tf", c.from, c.to), validate...)
			if err == nil || !strings.Contains(out, c.want) {
				t.Errorf("error %v does not say %q:\n%s", err, c.want, out)
			}
		})
	}
}
