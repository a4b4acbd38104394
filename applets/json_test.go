package applets

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// The provenance contains the list as JSON.
func TestAListAsJSON(t *testing.T) {
	list, err := Parse("mine", strings.NewReader("# files\nash\ncp\nsh\n"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(list)
	if err != nil || string(text) != `["ash","cp","sh"]` {
		t.Errorf("the list is %s, %v", text, err)
	}
	var again List
	if err := json.Unmarshal(text, &again); err != nil || !slices.Equal(again.Names(), []string{"ash", "cp", "sh"}) {
		t.Errorf("the list became %q, %v", again.Names(), err)
	}
	if err := json.Unmarshal([]byte(`["cp","frobnicate"]`), &again); err == nil || !strings.Contains(err.Error(), `"frobnicate"`) {
		t.Errorf("error = %v", err)
	}
	if err := json.Unmarshal([]byte(`"cp"`), &again); err == nil {
		t.Error("a text is taken for a list")
	}
}

// The health check talks to a Unix socket, the entrypoint reads signed numbers, and after a crash the shell must
// still find its applets. So the image relies on these options besides the applets themselves.
func TestWhatEveryConfigurationTurnsOn(t *testing.T) {
	list, err := Named("minimal")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(list.Config(), "\n")
	for _, want := range []string{"CONFIG_STATIC=y", "CONFIG_LFS=y", "CONFIG_FEATURE_UNIX_LOCAL=y"} {
		if !slices.Contains(lines, want) {
			t.Errorf("the configuration has no line %s:\n%s", want, list.Config())
		}
	}
	// Each line of base.config is in the configuration.
	for line := range strings.Lines(baseText) {
		name, value, found := strings.Cut(strings.TrimSpace(line), "=")
		if name == "" || strings.HasPrefix(name, "#") {
			continue
		}
		if !found {
			value = "y"
		}
		if !slices.Contains(lines, "CONFIG_"+name+"="+value) {
			t.Errorf("base.config has %s, and the configuration has not", name)
		}
	}
}
