package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"dagger/mikrotik-tailscale/routeros"
	"dagger/mikrotik-tailscale/routeros/deploy"
)

// routerList is the list of routers, and the options for all of them.
type routerList struct {
	file   string
	common *pflag.FlagSet
}

func (l *routerList) flags(flags *pflag.FlagSet) {
	o := routeros.Default()
	l.common = deploy.Flags(&o)
	flags.AddFlagSet(l.common)
	flags.Lookup("image").Usage = "image in a registry that the router fetches itself, instead of one that is built and uploaded"
	flags.Lookup("routeros-version").Usage = "oldest RouterOS release that the scripts must run on (default the router's)"
	flags.Lookup("routeros-version").DefValue = ""
	flags.Lookup("hostname").Usage = "name in the tailnet (default the router's identity, or the container's name)"
	flags.Lookup("disk").Usage = "disk or directory on the router for image and state (default the internal storage, or a disk if the image is too large for it)"
	flags.Lookup("root").Usage = "where the image is: disk, or memory, which needs --image (default chosen by the free flash)"
	flags.Lookup("root").DefValue = ""
	flags.Lookup("arch").Usage = "platform of the image (default chosen by the router's board)"
}

// read reads the routers from the arguments and the file. The error contains all mistakes.
func (l *routerList) read(args []string) ([]*deploy.Site, error) {
	var all []*deploy.Site
	var problems []error
	add := func(line, where string) {
		s, err := deploy.NewSite(line, l.common)
		if err == nil && slices.ContainsFunc(all, func(o *deploy.Site) bool { return o.Address == s.Address }) {
			err = fmt.Errorf("the router %s is named twice", s.Address)
		}
		if err == nil {
			all = append(all, s)
			return
		}
		if where != "" {
			err = fmt.Errorf("%s: %w", where, err)
		}
		// A mistake in the common options is only reported once.
		if !slices.ContainsFunc(problems, func(o error) bool { return o.Error() == err.Error() }) {
			problems = append(problems, err)
		}
	}
	for _, arg := range args {
		if strings.ContainsAny(arg, " \t") {
			problems = append(problems, fmt.Errorf("malformed router %q: want one router in each argument", arg))
			continue
		}
		add(arg, "")
	}
	if l.file != "" {
		f, err := os.Open(l.file)
		if err != nil {
			return nil, fmt.Errorf("reading the routers: %w", err)
		}
		defer func() { _ = f.Close() }()
		lines := bufio.NewScanner(f)
		for number := 1; lines.Scan(); number++ {
			line, _, _ := strings.Cut(lines.Text(), "#")
			if strings.TrimSpace(line) == "" {
				continue
			}
			add(line, fmt.Sprintf("%s, line %d", l.file, number))
		}
		if err := lines.Err(); err != nil {
			return nil, fmt.Errorf("reading the routers in %s: %w", l.file, err)
		}
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, errors.New("no router: want one or more such as admin@192.168.88.1, or a file of them with --routers")
	}
	return all, nil
}
