package deploy

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"dagger/mikrotik-tailscale/routeros"
	"dagger/mikrotik-tailscale/routeros/flags"
)

// Flags returns the flags that set the options of a router.
func Flags(o *routeros.Options) *pflag.FlagSet {
	all := flags.For(o)
	some := pflag.NewFlagSet("", pflag.ContinueOnError)
	some.SortFlags = false
	some.SetOutput(io.Discard)
	all.VisitAll(func(f *pflag.Flag) {
		// The command sets these itself.
		if !slices.Contains([]string{"tarball", "checksum", "auth-key-file"}, f.Name) {
			some.AddFlag(f)
		}
	})
	return some
}

// NewSite parses a router followed by its options, for example "admin@192.168.88.1 --subnet 192.168.88.0/24". They
// replace the options in common, which may be nil.
func NewSite(line string, common *pflag.FlagSet) (*Site, error) {
	fields := strings.Fields(line)
	if len(fields) == 0 {
		fields = []string{""}
	}
	address, err := ParseAddress(fields[0])
	if err != nil {
		return nil, err
	}
	var scratch routeros.Options
	own := Flags(&scratch)
	if err := own.Parse(fields[1:]); err != nil {
		return nil, fmt.Errorf("options of %s: %w", address, err)
	}
	if own.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q after %s: want options", own.Arg(0), address)
	}
	var given []string
	if common == nil {
		common = &pflag.FlagSet{}
	}
	common.VisitAll(func(f *pflag.Flag) {
		if f.Changed && !own.Changed(f.Name) {
			given = append(given, written(f)...)
		}
	})
	s := &Site{Address: address, Wishes: Wishes{Options: routeros.Default()}}
	all := Flags(&s.Wishes.Options)
	if err := all.Parse(append(given, fields[1:]...)); err != nil {
		return nil, err
	}
	s.Wishes.Release = all.Changed("routeros-version")
	return s, Check(s.Wishes)
}

// written returns an option as the user would write it.
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

// Site is a router with its options, plan and result.
type Site struct {
	Address Address
	Wishes  Wishes
	Facts   Facts
	Image   Image
	Plan    Plan
	Result  Result
	Err     error
	// planned is true after Plan is set, and done if nothing is left to do.
	planned, done bool
}
