package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"dagger/mikrotik-tailscale/deploy"
	"dagger/mikrotik-tailscale/routeros"
)

// target is a router that the user names, and what it is to get.
type target struct {
	address deploy.Address
	wishes  deploy.Wishes
}

// routerList has the routers, and the options for all of them.
type routerList struct {
	file   string
	common *pflag.FlagSet
}

// routerFlags are the options that a router can have of its own.
func routerFlags(o *routeros.Options) *pflag.FlagSet {
	all := pflag.NewFlagSet("", pflag.ContinueOnError)
	routerosFlags(all, o)
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	all.SortFlags, flags.SortFlags = false, false
	flags.SetOutput(io.Discard)
	all.VisitAll(func(f *pflag.Flag) {
		// These two are the command's own business.
		if f.Name != "tarball" && f.Name != "auth-key-file" {
			flags.AddFlag(f)
		}
	})
	return flags
}

func (l *routerList) flags(flags *pflag.FlagSet) {
	o := routeros.Default()
	l.common = routerFlags(&o)
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

// read reads the routers from the arguments and the file. All that is wrong is told at once.
func (l *routerList) read(args []string) ([]target, error) {
	var all []target
	var problems []error
	add := func(line, where string) {
		t, err := l.parse(line)
		if err == nil && slices.ContainsFunc(all, func(o target) bool { return o.address == t.address }) {
			err = fmt.Errorf("the router %s is named twice", t.address)
		}
		all = append(all, t)
		if err == nil {
			return
		}
		if where != "" {
			err = fmt.Errorf("%s: %w", where, err)
		}
		// What is wrong with the options for all routers is told once.
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

// parse reads a router and the options behind it, which take the place of those for all routers.
func (l *routerList) parse(line string) (target, error) {
	fields := strings.Fields(line)
	if len(fields) == 0 {
		fields = []string{""}
	}
	address, err := deploy.ParseAddress(fields[0])
	if err != nil {
		return target{}, err
	}
	var scratch routeros.Options
	own := routerFlags(&scratch)
	if err := own.Parse(fields[1:]); err != nil {
		return target{}, fmt.Errorf("options of %s: %w", address, err)
	}
	if own.NArg() > 0 {
		return target{}, fmt.Errorf("unexpected argument %q behind %s: want options", own.Arg(0), address)
	}
	var given []string
	l.common.VisitAll(func(f *pflag.Flag) {
		if f.Changed && !own.Changed(f.Name) {
			given = append(given, written(f)...)
		}
	})
	t := target{address: address, wishes: deploy.Wishes{Options: routeros.Default()}}
	flags := routerFlags(&t.wishes.Options)
	if err := flags.Parse(append(given, fields[1:]...)); err != nil {
		return target{}, err
	}
	t.wishes.Release = flags.Changed("routeros-version")
	return t, deploy.Check(t.wishes)
}

// written is an option as a user writes it.
func written(f *pflag.Flag) (all []string) {
	values := []string{f.Value.String()}
	if list, ok := f.Value.(pflag.SliceValue); ok {
		values = list.GetSlice()
	}
	for _, v := range values {
		all = append(all, "--"+f.Name+"="+v)
	}
	return all
}
