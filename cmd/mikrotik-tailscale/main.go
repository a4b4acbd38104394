// Command mikrotik-tailscale builds Tailscale images for MikroTik routers on a machine without Docker or Dagger.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Exit codes.
const (
	exitFailure     = 1   // the build or another step failed
	exitUsage       = 2   // the call was wrong, and nothing was started
	exitInterrupted = 130 // the user interrupted the command
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second Ctrl-C ends the command immediately.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// usageError is an error in the command's arguments.
type usageError struct{ error }

// pushError is an error after a push has started, so the registry may have a part of the release.
type pushError struct{ error }

// shownError is an error that has already been shown.
type shownError struct{ error }

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var asJSON bool
	root := &cobra.Command{
		Use:   "mikrotik-tailscale",
		Short: "Build the smallest useful Tailscale image for a MikroTik router",
		Long: "Build the smallest useful Tailscale container image for MikroTik routers from source, and write it as\n" +
			"a tarball that RouterOS imports with /container/add file=. The image takes about 3 MB of flash and\n" +
			"includes a small shell. This needs Debian or Ubuntu, Go and user namespaces, but neither Docker nor\n" +
			"Dagger.",
		Example: "  mikrotik-tailscale build --arch arm64\n" +
			"  mikrotik-tailscale deploy admin@192.168.88.1 --subnet 192.168.88.0/24\n" +
			"  mikrotik-tailscale build --arch all --output dist/\n" +
			"  mikrotik-tailscale publish --address registry.example/me/tailscale",
		SilenceUsage: true, SilenceErrors: true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	root.PersistentFlags().BoolVar(&asJSON, "json", false, "print the result, or the error, as one JSON object")
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(buildCommand(&asJSON), sizesCommand(&asJSON), featuresCommand(&asJSON), appletsCommand(&asJSON),
		publishCommand(&asJSON), verifyCommand(&asJSON), sbomCommand(&asJSON), sourcesCommand(&asJSON), compressCommand(&asJSON), routerosCommand(&asJSON), cleanCommand(&asJSON),
		lockCommand())
	for _, c := range root.Commands() {
		c.Args = noArguments
	}
	root.AddCommand(symbolizeCommand(), deployCommand(&asJSON))

	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	code := exitFailure
	var usage usageError
	var push pushError
	var shown shownError
	switch {
	case errors.As(err, &shown) && ctx.Err() != nil:
		return exitInterrupted
	case errors.As(err, &shown):
		return exitFailure
	case ctx.Err() != nil && errors.As(err, &push):
		code, err = exitInterrupted, errors.New("interrupted while pushing: run the same command again to push the rest")
	case ctx.Err() != nil:
		code, err = exitInterrupted, errors.New("interrupted, nothing was written")
	case errors.As(err, &usage), strings.HasPrefix(err.Error(), "unknown command"):
		code = exitUsage
	}
	if asJSON {
		_ = printJSON(stdout, map[string]string{"error": err.Error()})
	} else {
		_, _ = fmt.Fprintf(stderr, "Error: %v\n", err)
	}
	return code
}

// flagError returns the error for a flag. If the flag's value can't be parsed, it says what the flag accepts.
func flagError(_ *cobra.Command, err error) error {
	accepted := map[string]string{
		"bool": "true or false", "int": "a whole number", "stringSlice": "values with commas between, and quotes in pairs",
	}
	var invalid *pflag.InvalidValueError
	if errors.As(err, &invalid) {
		if want, known := accepted[invalid.GetFlag().Value.Type()]; known {
			err = fmt.Errorf("malformed value %q of --%s: want %s", invalid.GetValue(), invalid.GetFlag().Name, want)
		}
	}
	return usageError{err}
}

func noArguments(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	want := "only --flags"
	for _, sub := range c.Commands() {
		want += ", or the command " + sub.Name()
	}
	return usageError{fmt.Errorf("unexpected argument %q: want %s", args[0], want)}
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
