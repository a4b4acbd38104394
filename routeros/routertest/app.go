package routertest

import (
	"fmt"

	"go.yaml.in/yaml/v3"
)

// addApp implements /app/add: it adds a disabled app from its YAML.
func (r *Router) addApp(source any) {
	var app struct {
		Name     string
		Services map[string]struct{ Image string }
	}
	if err := yaml.Unmarshal([]byte(fmt.Sprint(source)), &app); err != nil || app.Name == "" || len(app.Services) == 0 {
		fail("failure: invalid YAML")
	}
	if r.Has("/app", "name", app.Name) {
		fail("failure: already have such app")
	}
	r.Put("/app", "name", app.Name, "interface", "none").Flags["disabled"] = true
}

// enableApp starts to fetch an app.
func (r *Router) enableApp(e *Entry) {
	e.Flags["disabled"] = false
	e.left = 40
}

// startApp assigns an interface and an address, which change with each start.
func (r *Router) startApp(e *Entry) {
	e.State, e.left = "running", 0
	r.appStarts++
	name := fmt.Sprint("app-veth", r.appStarts)
	for _, veth := range r.Tables["/interface/veth"] {
		if veth.Values["name"] == e.Values["interface"] {
			r.Drop("/interface/veth", veth)
			break
		}
	}
	r.Put("/interface/veth", "name", name, "address", fmt.Sprintf("172.18.0.%d/16", 1+r.appStarts))
	e.Values["interface"] = name
}
