package recipe_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"dagger/mikrotik-tailscale/endtoend/testmode"
	"dagger/mikrotik-tailscale/recipe"
)

// A program with some of the types whose methods are left out.
const (
	viewsFile = "tailscale/types/views/views.go"
	views     = `package views

import (
	"cmp"
	"slices"
	s "strings"
	str "strconv"
)

// Slice is a list. It has slices.Sort in a comment.
type Slice[T any] struct{ items []T }

// MaxFunc is left out.
func (v Slice[T]) MaxFunc(less func(a, b T) int) T {
	if len(v.items) == 0 {
		panic("empty")
	}
	return slices.MaxFunc(v.items, less)
}

func (v Slice[T]) MapKey() string { return str.Itoa(len(v.items)) }

func (v *Slice[T]) SliceTo(
	i int,
) Slice[T] {
	return Slice[T]{v.items[:i]}
}

func (v Slice[T]) Len() int { return len(v.items) }

// Map has a method with a name that is left out of Slice.
type Map[K cmp.Ordered, V any] struct{ Slice map[K]V }

func (m Map[K, V]) MaxFunc() int { return len(s.Fields("a b")) }

func (m Map[K, V]) Has(k K) bool {
	_, ok := m.Slice[k]
	return ok
}

func (m Map[K, V]) Len() int { return len(m.Slice) }

func Has[T any](v Slice[T]) bool { return v.Len() > 0 }
`
)

// Only the listed methods of the listed types disappear. All other lines stay where they were.
func TestMethodsThatNothingCallsAreLeftOut(t *testing.T) {
	t.Chdir(t.TempDir())
	leaveOut(t, views)
	want := views
	for _, gone := range []string{
		views[strings.Index(views, "func (v Slice[T]) MaxFunc"):strings.Index(views, "\nfunc (v Slice[T]) Len")],
		views[strings.Index(views, "func (m Map[K, V]) Has"):strings.Index(views, "\nfunc (m Map[K, V]) Len")],
	} {
		kept := strings.Repeat("\n", strings.Count(gone, "\n"))
		want = strings.Replace(want, gone, kept, 1)
	}
	want = strings.NewReplacer("\t\"slices\"", "\t_ \"slices\"", "\tstr \"strconv\"", "\t_ \"strconv\"").Replace(want)
	if got := string(read(t, viewsFile)); got != want {
		t.Errorf("the file is now:\n%s\nwant:\n%s", got, want)
	}
	if got := string(read(t, viewsFile+".whole")); got != views {
		t.Errorf("the copy of the file is:\n%s", got)
	}
}

// A release may call a method that is left out. It gets the method back, and the build says so. Any other error is told at
// once.
func TestAReleaseThatCallsThemIsCompiledWithAllMethods(t *testing.T) {
	const note = "this release calls methods that are otherwise left out, so it is compiled with all of them\n"
	for name, c := range map[string]struct{ call, notes, fails string }{
		"calls none":                  {"_ = v.Len()", "", ""},
		"calls one":                   {"_ = v.MapKey()", note, ""},
		"needs one for an interface":  {"var _ interface{ MapKey() string } = v", note, ""},
		"doesn't compile":             {"_ = missing", "", "undefined: missing"},
		"doesn't compile with either": {"_ = v.MapKey() + missing", note, "undefined: missing"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			leaveOut(t, views)
			write(t, "tailscale/go.mod", "module tailscale.com\n\ngo 1.26\n")
			write(t, "tailscale/main.go", "package main\n\nimport \"tailscale.com/types/views\"\n\nfunc main() {\n\tvar v views.Slice[int]\n\t"+c.call+"\n}\n")
			step := stepWith(t, runtime.GOARCH, "otherwise left out")
			step = slices.Concat(step[:slices.Index(step, recipe.NotesFile)], []string{"notes", "go", "-C", "tailscale", "build", "-o", "../program", "."})
			cmd := exec.CommandContext(t.Context(), step[0], step[1:]...)
			cmd.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off")
			printed, err := cmd.CombinedOutput()
			if (err != nil) != (c.fails != "") || !strings.Contains(string(printed), c.fails) {
				t.Errorf("error %v, printed %q, want %q in it", err, printed, c.fails)
			}
			if notes, _ := os.ReadFile("notes"); string(notes) != c.notes {
				t.Errorf("told the user %q, want %q", notes, c.notes)
			}
			if _, err := os.Stat("program"); (err == nil) != (c.fails == "") {
				t.Errorf("the program: %v", err)
			}
		})
	}
}

// Every listed method is in the default release, and disappears.
func TestTheListedMethodsAreInTheRelease(t *testing.T) {
	testmode.Machine(t)
	s := recipe.Plan{Target: native(t), Config: validConfig(t), Resolved: recipe.Resolved{Go: recipe.TailscaleGo}}.Tailscale()
	copied := slices.IndexFunc(s.Steps, func(step []string) bool { return strings.Contains(strings.Join(step, " "), "-replace=") })
	leftOut := slices.IndexFunc(s.Steps, func(step []string) bool { return slices.Contains(step, "liteTable") })
	s.Name, s.Output, s.Inputs = "methods left out", "report", nil
	s.Steps = slices.Concat(s.Steps[:2], [][]string{s.Steps[copied], s.Steps[leftOut], {"sh", "-euc", `
		find . -name '*.whole' | while read -r file; do
			diff "$file" "${file%.whole}" | sed -n 's/^< func (. \**\([A-Za-z]*\)[^)]*) \([A-Za-z0-9]*\).*/\1 \2/p'
		done | sort >"$1"`, "sh", recipe.OutDir + "/report"}})
	var want []string
	list := s.Steps[len(s.Steps)-2]
	list = list[slices.Index(list, ".whole")+1:]
	for ; len(list) >= 3; list = list[3:] {
		for _, method := range strings.Fields(list[2]) {
			want = append(want, list[1]+" "+method)
		}
	}
	slices.Sort(want)
	got := strings.Split(strings.TrimSpace(output(t, s)), "\n")
	slices.Sort(got)
	if len(want) < 50 || !slices.Equal(got, want) {
		t.Errorf("left out:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// leaveOut writes a file of Tailscale's source in the current directory, and runs the step that leaves out methods.
func leaveOut(t *testing.T, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(viewsFile), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, viewsFile, content)
	step := stepWith(t, runtime.GOARCH, "liteTable")
	if printed, err := exec.CommandContext(t.Context(), step[0], step[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, printed)
	}
}
