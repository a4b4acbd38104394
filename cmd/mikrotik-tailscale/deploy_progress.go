package main

import (
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"dagger/mikrotik-tailscale/routeros/deploy"
)

// lines shows each router's progress: as a moving line on a terminal, otherwise as one line for each change.
type lines struct {
	mu     sync.Mutex
	w      io.Writer
	screen *mpb.Progress // nil if w is not a terminal
	bars   map[*deploy.Site]*mpb.Bar
	phases map[*deploy.Site]string
}

func newLines(w io.Writer, sites []*deploy.Site) *lines {
	l := &lines{w: w, bars: map[*deploy.Site]*mpb.Bar{}, phases: map[*deploy.Site]string{}}
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return l
	}
	l.screen = mpb.New(mpb.WithOutput(w), mpb.WithWidth(4))
	for _, s := range sites {
		if s.Err == nil {
			l.bars[s] = l.screen.New(1, mpb.SpinnerStyle(), mpb.PrependDecorators(decor.Name(s.Address.String(), decor.WCSyncSpaceR)),
				mpb.AppendDecorators(decor.Any(func(decor.Statistics) string {
					l.mu.Lock()
					defer l.mu.Unlock()
					return l.phases[s]
				})))
		}
	}
	return l
}

func (l *lines) observe(s *deploy.Site, e deploy.Event) {
	if e.Log != "" {
		l.say(fmt.Sprintf("%s: log: %s", s.Address, e.Log))
		return
	}
	phase := e.Phase
	if l.screen != nil && e.Total > 0 {
		phase = fmt.Sprintf("%s, %d %%", phase, 100*e.Sent/e.Total)
	}
	l.mu.Lock()
	before := l.phases[s]
	l.phases[s] = phase
	l.mu.Unlock()
	if l.screen == nil && before != phase {
		l.say(fmt.Sprintf("%s: %s", s.Address, phase))
	}
}

// end prints the result for a router.
func (l *lines) end(s *deploy.Site, err error) {
	phase := "done"
	if err != nil {
		phase = "failed"
	}
	l.mu.Lock()
	l.phases[s] = phase
	bar := l.bars[s]
	l.mu.Unlock()
	if bar != nil {
		bar.Increment()
	}
}

// say prints a line above the routers' lines.
func (l *lines) say(line string) {
	if l.screen != nil {
		_, _ = fmt.Fprintln(l.screen, line)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	_, _ = fmt.Fprintln(l.w, line)
}

// close stops updating the screen.
func (l *lines) close() {
	if l.screen == nil {
		return
	}
	for _, bar := range l.bars {
		bar.Abort(false)
	}
	l.screen.Wait()
}
