package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"dagger/mikrotik-tailscale/local"
)

// progress shows the running stages: as moving lines on a terminal, otherwise as one line for each change.
type progress struct {
	mu     sync.Mutex
	w      io.Writer
	screen *mpb.Progress // nil if w is not a terminal
	bars   map[string]*mpb.Bar
	ended  []local.Event
}

func newProgress(w io.Writer) *progress {
	p := &progress{w: w, bars: map[string]*mpb.Bar{}}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		p.screen = mpb.New(mpb.WithOutput(w), mpb.WithWidth(4))
	}
	return p
}

func (p *progress) observe(e local.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e.State.Final() {
		p.ended = append(p.ended, e)
	}
	if p.screen == nil {
		p.print(e)
		return
	}
	bar := p.bars[e.Title]
	switch e.State {
	case local.Waiting:
		p.say(e.Title + ": " + string(e.State) + waitsFor)
	case local.Noted:
		p.say(e.Title + ": " + string(e.State) + ": " + e.Note)
	case local.Started:
		p.bars[e.Title] = p.spin(e.Title)
	case local.Failed, local.Stopped:
		if bar != nil {
			bar.Abort(e.State == local.Stopped) // a failed stage stays visible
			bar.Wait()
		}
	case local.Cached:
		bar = p.spin(e.Title)
		fallthrough
	case local.Done:
		if bar != nil {
			bar.Increment()
		}
	}
}

func (p *progress) spin(title string) *mpb.Bar {
	return p.screen.New(1, mpb.SpinnerStyle(), mpb.PrependDecorators(decor.Name(title, decor.WCSyncSpaceR)),
		mpb.AppendDecorators(decor.OnAbort(decor.OnComplete(decor.Elapsed(decor.ET_STYLE_GO), "done"), "failed")))
}

func (p *progress) print(e local.Event) {
	more := ""
	switch {
	case e.State == local.Waiting:
		more = waitsFor
	case e.State == local.Noted:
		more = ": " + e.Note
	case e.State.Final() && e.State != local.Cached:
		more = " after " + e.Took.Round(100*time.Millisecond).String()
	}
	_, _ = fmt.Fprintf(p.w, "%s: %s%s\n", e.Title, e.State, more)
}

// during shows work that is not a stage.
func (p *progress) during(title string, work func() error) error {
	began := time.Now()
	p.observe(local.Event{Title: title, State: local.Started})
	err := work()
	state := local.Done
	if err != nil {
		state = local.Failed
	}
	p.observe(local.Event{Title: title, State: state, Took: time.Since(began)})
	return err
}

// waitsFor says what a stage is waiting for.
const waitsFor = " for another build that uses the same cache"

// say prints a line above the stages' lines.
func (p *progress) say(line string) {
	w := p.w
	if p.screen != nil {
		w = p.screen
	}
	_, _ = fmt.Fprintln(w, line)
}

// close stops updating the screen.
func (p *progress) close() {
	if p.screen == nil {
		return
	}
	p.mu.Lock()
	for _, bar := range p.bars {
		bar.Abort(false)
	}
	p.mu.Unlock()
	p.screen.Wait()
}
