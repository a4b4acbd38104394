// Package flags has the options of the scripts for routers as command line flags. It is a separate package so that
// programs without a command line don't include the flags.
package flags

import (
	"github.com/spf13/pflag"

	"dagger/mikrotik-tailscale/routeros"
)

// For returns the flags that set options. The defaults of the flags are the current values of the options.
func For(o *routeros.Options) *pflag.FlagSet {
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	flags.SortFlags = false
	for _, s := range o.Settings() {
		switch v := s.Value.(type) {
		case *string:
			flags.StringVar(v, s.Name, *v, s.Usage)
		case *bool:
			flags.BoolVar(v, s.Name, *v, s.Usage)
		case *int:
			flags.IntVar(v, s.Name, *v, s.Usage)
		case *[]string:
			if s.Whole {
				flags.StringArrayVar(v, s.Name, *v, s.Usage)
			} else {
				flags.StringSliceVar(v, s.Name, *v, s.Usage)
			}
		}
	}
	return flags
}
