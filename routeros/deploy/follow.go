package deploy

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"dagger/mikrotik-tailscale/routeros"
)

var (
	// The container's log messages about its login. A test compares them with the image's messages.
	loginForm   = regexp.MustCompile(`(?:to log this router in, visit|somebody to log in at) (https?://\S+)`)
	refusedForm = regexp.MustCompile(`not logged in: (.*?)(?:; trying again.*)?$`)
	approvalLog = "waiting for approval"

	addressForm = regexp.MustCompile(`\b(?:100(?:\.[0-9]{1,3}){3}\b|fd7a:115c:a1e0:[0-9a-f:]+)`)
)

const (
	// The container is asked this often until it is logged in, with so many seconds on the router in between.
	rounds, roundSeconds = 60, 3
)

// follow reads the container's log until the router is logged in, or until a person has to log it in.
func (w *work) follow(ctx context.Context) (Result, error) {
	condition := "nothing"
	for range rounds {
		if err := ctx.Err(); err != nil {
			return Result{}, context.Cause(ctx)
		}
		fresh, err := w.lines(ctx, fmt.Sprintf(":delay %ds; ", roundSeconds))
		if err != nil {
			return Result{}, err
		}
		for _, line := range fresh {
			if r, err := w.read(line); err != nil || r.LoginURL != "" || r.Note != "" {
				return r, err
			}
		}
		answer, err := w.conn.ask(ctx, `:put ("stopped: " . [:len [/container/find where comment~`+w.pattern()+` and stopped]])`)
		if err != nil {
			return Result{}, err
		}
		if answer.one("stopped") != "0" {
			return Result{}, errors.New("the container has stopped")
		}
		if condition, err = w.shell(ctx, "/usr/local/bin/healthcheck"); err != nil {
			return Result{}, err
		}
		if strings.Contains(condition, "Running") {
			addresses, err := w.shell(ctx, "tailscale ip")
			if err != nil {
				return Result{}, err
			}
			if found := addressForm.FindAllString(addresses, -1); found != nil {
				return Result{Addresses: found}, nil
			}
		}
	}
	return Result{}, fmt.Errorf("not logged in after %d minutes; the state is: %s", rounds*roundSeconds/60, strings.TrimSpace(condition))
}

// read returns what a line of the log means for the login.
func (w *work) read(line string) (Result, error) {
	if strings.Contains(line, approvalLog) {
		return Result{Note: "the machine waits for approval in the tailnet's admin console"}, nil
	}
	url := loginForm.FindStringSubmatch(line)
	if refused := refusedForm.FindStringSubmatch(line); refused != nil && w.plan.Options.AuthKeyFile {
		return Result{}, fmt.Errorf("not logged in: %s", refused[1])
	}
	if url != nil {
		return Result{LoginURL: url[1]}, nil
	}
	return Result{}, nil
}

// pattern returns the pattern of the container's comment.
func (w *work) pattern() string { return routeros.Quote("^" + w.plan.Options.Mark() + " ") }

// shell runs a command in the container. It returns "" if that is not possible.
func (w *work) shell(ctx context.Context, command string) (string, error) {
	answer, err := w.conn.run(ctx, `:foreach one in=[/container/find where comment~`+w.pattern()+`] do={ :put [:tostr [/container/shell $one cmd=`+routeros.Quote(command)+` timeout=20 as-value]] }`)
	if errors.As(err, new(refusal)) {
		return "", nil
	}
	return answer, err
}

// skipLog marks all existing log lines as seen.
func (w *work) skipLog(ctx context.Context) error {
	observe := w.observe
	w.observe = func(Event) {}
	defer func() { w.observe = observe }()
	_, err := w.lines(ctx, "")
	return err
}

// lines returns the new lines of the container's log.
func (w *work) lines(ctx context.Context, before string) (fresh []string, err error) {
	answer, err := w.conn.ask(ctx, before+`:foreach one in=[/log/find where topics~"container"] do={ :put ("log:" . $one . " " . [/log/get $one message]) }`)
	if err != nil {
		return nil, fmt.Errorf("reading the log: %w", err)
	}
	for _, line := range answer["log"] {
		id, message, _ := strings.Cut(line, " ")
		if !w.seen[id] {
			w.seen[id] = true
			w.observe(Event{Log: message})
			fresh = append(fresh, message)
		}
	}
	return fresh, nil
}
