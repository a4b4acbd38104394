package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"dagger/mikrotik-tailscale/local"
)

// requireTools checks that the tools of package local are installed. It only installs missing ones with the flag
// --install-tools, or after a yes on the terminal.
func (o *options) requireTools(ctx context.Context, p *progress) error {
	var terminal io.Reader
	if p.screen != nil && term.IsTerminal(int(os.Stdin.Fd())) {
		terminal = os.Stdin
	}
	err := local.Require(ctx, leave(ctx, o.installTools, terminal, p.w), local.Tools()...)
	var missing *local.MissingError
	if errors.As(err, &missing) && missing.Installable {
		err = fmt.Errorf("%w, or pass --install-tools", err)
	}
	return err
}

// leave returns a function that decides whether tools may be installed: yes with the flag, the user's answer on a
// terminal, otherwise no.
func leave(ctx context.Context, flag bool, terminal io.Reader, w io.Writer) func(what string) bool {
	return func(what string) bool {
		if flag || terminal == nil {
			if flag {
				_, _ = fmt.Fprintln(w, what)
			}
			return flag
		}
		_, _ = fmt.Fprintf(w, "%s\nInstall now? [y/N] ", what)
		answer := make(chan string, 1)
		go func() {
			line, _ := bufio.NewReader(terminal).ReadString('\n')
			answer <- strings.ToLower(strings.TrimSpace(line))
		}()
		select {
		case a := <-answer:
			return a == "y" || a == "yes"
		case <-ctx.Done():
			return false
		}
	}
}
