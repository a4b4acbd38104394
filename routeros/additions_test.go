package routeros

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// count returns how many entries of each menu belong to an installation.
func count(r *router, mark string) map[string]int {
	all := map[string]int{}
	for menu, entries := range r.Tables {
		for _, e := range entries {
			if comment := fmt.Sprint(e.Values["comment"]); comment == mark || strings.HasPrefix(comment, mark+" ") {
				all[menu]++
			}
		}
	}
	return all
}

func counted(additions []Addition) map[string]int {
	all := map[string]int{}
	for _, a := range additions {
		all[a.Menu]++
	}
	return all
}

// The list has exactly the entries that the router has afterwards.
func TestAdditionsAreWhatTheRouterHas(t *testing.T) {
	for name, o := range variants(t) {
		t.Run(name, func(t *testing.T) {
			r := ready(o)
			must(t, r, scripts(t, o)["install"])
			additions, err := Additions(o)
			if err != nil {
				t.Fatal(err)
			}
			if want, got := count(r, o.Mark()), counted(additions); !maps.Equal(got, want) {
				t.Errorf("listed: %v\non the router: %v", got, want)
			}
		})
	}
}

func TestAdditionsOfAnApp(t *testing.T) {
	for name, o := range map[string]Options{"default": example(), "everything": appOptions()} {
		t.Run(name, func(t *testing.T) {
			files := appFiles(t, o, nil)
			r := appRouter(files)
			must(t, r, files["tailscale-app-setup.rsc"])
			additions, err := AppAdditions(o, nil)
			if err != nil {
				t.Fatal(err)
			}
			want := count(r, o.Mark())
			want["/app"] = len(r.Tables["/app"])
			if got := counted(additions); !maps.Equal(got, want) {
				t.Errorf("listed: %v\non the router: %v", got, want)
			}
		})
	}
}

func TestAdditionsSayWhatTheyAreFor(t *testing.T) {
	o := example()
	o.ExitNode, o.RemoteSubnets, o.UpdateAt = true, []string{"192.168.89.0/24"}, "04:30"
	additions, err := Additions(o)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []Addition{
		{"/ip/route", "a route to 192.168.89.0/24 through 172.31.255.254: a network behind another router"},
		{"/system/scheduler", "runs tailscale-update.rsc every day at 04:30"},
	} {
		if !slices.Contains(additions, want) {
			t.Errorf("%v is not in %v", want, additions)
		}
	}
	if _, err := Additions(Default()); err == nil {
		t.Error("additions of nothing")
	}
}
