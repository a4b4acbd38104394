// Package choices writes the scripts for a router from the choices on the page. It runs in the browser, and the
// command uses it to fill in a page.
package choices

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"dagger/mikrotik-tailscale/routeros"
)

// The names of choices that are not settings of package routeros.
const (
	// Script is the name of the choice of files to write: Scripts, or App.
	Script = "script"
	// Site is the name of the choice of a store's sites, as parsed by routeros.ParseSites.
	Site = "site"
)

// The values of Script.
const (
	Scripts = "scripts"
	App     = "app"
)

// Choices are the values of settings, Script and Site, by name. Missing ones have their defaults.
type Choices = url.Values

// Answer is the result of choices.
type Answer struct {
	// Files are the scripts. The list is empty if something is wrong.
	Files []routeros.Script
	// Additions are the entries that the files add to the router.
	Additions []routeros.Addition
	// Steps are the instructions for the files.
	Steps []Step
	// Message is the error that the command would print, or "".
	Message string
	// Problems are the parts of the message.
	Problems []routeros.Problem

	err error
}

// Step is one instruction. Command is a command for the router, if there is one.
type Step struct{ What, Command string }

// Names returns the names of all choices, in the order in which users see them.
func Names() []string {
	var all []string
	o := routeros.Default()
	for _, s := range o.Settings() {
		all = append(all, s.Name)
	}
	return append(all, Script, Site)
}

// Parse parses choices in the form NAME=VALUE. A name may occur several times.
func Parse(texts []string) (Choices, error) {
	c := Choices{}
	for _, text := range texts {
		name, value, ok := strings.Cut(text, "=")
		if !ok {
			return nil, fmt.Errorf("malformed option %q: want NAME=VALUE, such as firewall=true", text)
		}
		c.Add(name, value)
	}
	return c, nil
}

// Check returns an error for wrong initial choices of a page. They may lack an image.
func Check(c Choices) error {
	for _, name := range slices.Sorted(maps.Keys(c)) {
		if !slices.Contains(Names(), name) {
			return fmt.Errorf("unknown option %q: want one of %s", name, strings.Join(Names(), ", "))
		}
	}
	complete := maps.Clone(c)
	if complete == nil {
		complete = Choices{}
	}
	if c.Get("image") == "" && c.Get("tarball") == "" {
		complete.Set("image", "registry.example/tailscale:stable")
	}
	return Write(complete).err
}

// Write writes the scripts.
func Write(c Choices) Answer {
	o, sites, err := read(c)
	if err != nil {
		return refusal(err)
	}
	var a Answer
	if isApp(c) {
		if a.Files, err = routeros.App(o, sites); err == nil {
			a.Additions, err = routeros.AppAdditions(o, sites)
		}
		a.Steps = appSteps(a.Files)
	} else {
		if a.Files, err = routeros.New(o); err == nil {
			a.Additions, err = routeros.Additions(o)
		}
		a.Steps = scriptSteps(o)
	}
	if err != nil {
		return refusal(err)
	}
	return a
}

func refusal(err error) Answer {
	return Answer{Message: err.Error(), Problems: routeros.Problems(err), err: err}
}

func isApp(c Choices) bool { return c.Get(Script) == App }

// read converts choices to options.
func read(c Choices) (routeros.Options, []routeros.Site, error) {
	o := routeros.Default()
	var problems []error
	for _, s := range o.Settings() {
		if texts, ok := c[s.Name]; ok {
			problems = append(problems, s.Set(texts))
		}
	}
	if kind := c.Get(Script); c.Has(Script) && kind != Scripts && kind != App {
		problems = append(problems, fmt.Errorf("unknown script %q: want %s, or %s", kind, Scripts, App))
	}
	texts := lines(c[Site])
	if len(texts) > 0 && !isApp(c) {
		problems = append(problems, fmt.Errorf("sites are for apps: want --script app with --site %s", texts[0]))
	}
	sites, err := routeros.ParseSites(texts)
	return o, sites, errors.Join(append(problems, err)...)
}

// lines returns the lines that are not blank.
func lines(texts []string) []string {
	var all []string
	for _, text := range texts {
		for line := range strings.Lines(text) {
			if line = strings.TrimSpace(line); line != "" {
				all = append(all, line)
			}
		}
	}
	return all
}

// scriptSteps returns the instructions for the scripts of an installation.
func scriptSteps(o routeros.Options) []Step {
	place, directory := "the router (in WinBox or WebFig: Files)", ""
	if o.Disk != "" {
		directory = strings.Trim(o.Disk, "/") + "/"
		place = fmt.Sprintf("the directory %s on the router (in WinBox or WebFig: Files)", o.Disk)
	}
	all := []Step{{What: "Download the scripts, and copy them to " + place + "."}}
	if o.Tarball != "" {
		all = append(all, Step{What: fmt.Sprintf("Copy the image's tarball to the router, as %s.", o.Tarball)})
	}
	if o.AuthKeyFile {
		all = append(all, Step{What: fmt.Sprintf("Create the file %s on the router, with the auth key in it. The key must not be in the scripts, because anyone who can read them could use it.", o.KeyPath())})
	}
	return append(all, Step{"Run the install script on the router:", "/import " + directory + o.Name + "-install.rsc"})
}

// appSteps returns the instructions for the files of an app or of a store.
func appSteps(files []routeros.Script) []Step {
	if len(files) == 0 {
		return nil
	}
	setup := "/import " + files[1].Name
	if strings.HasSuffix(files[0].Name, ".tikappstore.yaml") {
		return []Step{
			{"Put " + files[0].Name + " on a web server, and give each router its address:", "/app/settings/set app-store-urls=URL"},
			{"Copy the scripts of each site to its router, and run the setup script there, for example:", setup},
		}
	}
	return []Step{
		{What: "Download the files, and copy them to the router (in WinBox or WebFig: Files)."},
		{"Run the setup script on the router:", setup},
	}
}
