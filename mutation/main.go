// Command mutation makes small changes to packages, one at a time, and runs their short tests. It prints the changes that no
// test notices, and the score of each package: the percentage of changes that its tests notice. It returns an error if a
// score is below the package's minimum in files/packages.txt.
package main

import (
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

//go:embed files/packages.txt
var packages string

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	all, err := targets(packages)
	if err == nil {
		err = run(ctx, all, os.Args[1:], os.Stdout)
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutation:", err)
		os.Exit(1)
	}
}

// target is a package to test, with the score that it needs.
type target struct {
	name    string
	minimum int // percent
	// landing is true if .ci/run tests the package.
	landing bool
}

// targets parses a list of packages. Each line has a package, its minimum score, and optionally the word landing.
func targets(text string) ([]target, error) {
	var all []target
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		malformed := fmt.Errorf("malformed line %q: want a package, its minimum score, and perhaps landing", strings.TrimSpace(line))
		if len(fields) < 2 || len(fields) > 3 || len(fields) == 3 && fields[2] != "landing" {
			return nil, malformed
		}
		minimum, err := strconv.Atoi(fields[1])
		if err != nil || minimum < 0 || minimum > 100 {
			return nil, malformed
		}
		all = append(all, target{fields[0], minimum, len(fields) == 3})
	}
	return all, nil
}

func run(ctx context.Context, all []target, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("mutation", flag.ContinueOnError)
	jobs := flags.Int("jobs", runtime.NumCPU(), "number of changes that are tried at the same time")
	landing := flags.Bool("landing", false, "try only the packages that .ci/run tries")
	if err := flags.Parse(args); err != nil {
		return err
	}
	var chosen []target
	for _, name := range flags.Args() {
		name = strings.TrimSuffix(strings.TrimPrefix(name, "./"), "/")
		i := slices.IndexFunc(all, func(t target) bool { return t.name == name })
		if i < 0 {
			return fmt.Errorf("unknown package %q: files/packages.txt has no minimum score for it", name)
		}
		chosen = append(chosen, all[i])
	}
	if flags.NArg() == 0 {
		chosen = slices.DeleteFunc(slices.Clone(all), func(t target) bool { return *landing && !t.landing })
	}
	var problems []error
	var sum score
	for _, t := range chosen {
		begin := time.Now()
		s, err := testPackage(ctx, t.name, *jobs, stdout)
		if err != nil {
			return err
		}
		_, _ = fmt.Fprintf(stdout, "%-18s %v; %.0f s\n", t.name, s, time.Since(begin).Seconds())
		if s.percent() < t.minimum {
			problems = append(problems, fmt.Errorf("%s: the score is %d%%, and its minimum is %d%%", t.name, s.percent(), t.minimum))
		}
		for i := range s.counts {
			sum.counts[i] += s.counts[i]
		}
		sum.uncompiled += s.uncompiled
	}
	_, _ = fmt.Fprintf(stdout, "%-18s %v\n", "all", sum)
	return errors.Join(problems...)
}

// score counts the results of a package's mutants.
type score struct {
	counts     [results]int
	uncompiled int
}

func (s score) noticed() int { return s.counts[killed] + s.counts[timedOut] }

func (s score) total() int { return s.noticed() + s.counts[survived] + s.counts[unreached] }

func (s score) percent() int { return 100 * s.noticed() / max(1, s.total()) }

func (s score) String() string {
	return fmt.Sprintf("%3d%%: tests noticed %d of %d changes (%d by a limit), not %d, and never ran %d; %d didn't compile", s.percent(),
		s.noticed(), s.total(), s.counts[timedOut], s.counts[survived], s.counts[unreached], s.uncompiled)
}

// testPackage tries every mutant of a package, and prints those that no test notices.
func testPackage(ctx context.Context, name string, jobs int, stdout io.Writer) (score, error) {
	var s score
	dir, err := os.MkdirTemp("", "mutation-*")
	if err != nil {
		return s, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	p, err := compile("./"+name, dir)
	if err != nil {
		return s, err
	}
	s.uncompiled = p.uncompiled
	if len(p.mutants) == 0 {
		return s, fmt.Errorf("%s has nothing to change", name)
	}
	reached, err := p.measure(ctx, jobs)
	if err != nil {
		return s, err
	}
	all := make([]result, len(p.mutants))
	var lock sync.Mutex
	var problems []error
	parallel(len(p.mutants), jobs, func(i int) {
		r, err := p.try(ctx, p.mutants[i], reached[p.mutants[i].id])
		lock.Lock()
		defer lock.Unlock()
		all[i] = r
		if err != nil {
			problems = append(problems, err)
		}
	})
	if err := errors.Join(problems...); err != nil {
		return s, err
	}
	for i, r := range all {
		s.counts[r]++
		switch r {
		case survived:
			_, _ = fmt.Fprintf(stdout, "%s/%v\n", name, p.mutants[i])
		case unreached:
			_, _ = fmt.Fprintf(stdout, "%s/%v (never run)\n", name, p.mutants[i])
		}
	}
	return s, nil
}
