package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"dagger/mikrotik-tailscale/endtoend/testtools"
	"dagger/mikrotik-tailscale/local"
)

// screenshots is the environment variable with the directory for screenshots of the page.
const screenshots = "SCREENSHOTS"

// tab is a tab of a headless Chromium.
type tab struct {
	*testing.T
	ctx context.Context

	mu sync.Mutex
	// requests are the addresses that the page has requested. complaints are the errors that the browser has
	// reported.
	requests, complaints []string
}

// closeBrowser ends the browser of startBrowser.
var closeBrowser = func() error { return nil }

// startBrowser starts the browser of all tests: a start takes seconds.
var startBrowser = sync.OnceValues(func() (context.Context, error) {
	// The browser has no sandbox for root.
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.ExecPath("chromium"), chromedp.NoSandbox, chromedp.WindowSize(1366, 1000))
	allocator, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, _ := chromedp.NewContext(allocator)
	closeBrowser = func() error {
		defer cancel()
		return chromedp.Cancel(ctx)
	}
	return ctx, chromedp.Do(ctx)
})

// newTab opens a tab for a test, which shares neither cookies nor storage with others.
func newTab(t *testing.T) *tab {
	t.Helper()
	testtools.Require(t, local.Tool{Command: "chromium", Package: "chromium"})
	browser, err := startBrowser()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	b := &tab{T: t, ctx: ctx}
	err = chromedp.Listen(ctx, func(event any) {
		b.mu.Lock()
		defer b.mu.Unlock()
		switch e := event.(type) {
		case *network.EventRequestWillBeSent:
			b.requests = append(b.requests, e.Request.URL)
		case *log.EventEntryAdded:
			b.complaints = append(b.complaints, e.Entry.Text)
		case *runtime.EventExceptionThrown:
			b.complaints = append(b.complaints, fmt.Sprint(e.ExceptionDetails))
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	tell(b, network.Enable, network.EnableParams{})
	tell(b, log.Enable, cdp.Empty{})
	return b
}

// tell sends a command for the tab to the browser.
func tell[P, R any](b *tab, command cdp.Command[P, R], params P) R {
	b.Helper()
	result, err := chromedp.Call(b.ctx, command, params)
	if err != nil {
		b.Fatal(err)
	}
	return result
}

// do runs an action on the page.
func do[R any](b *tab, action chromedp.Action[R]) R {
	b.Helper()
	result, err := chromedp.Run(b.ctx, action)
	if err != nil {
		b.Fatal(err)
	}
	return result
}

// open opens an address, and waits until the page has shown the first answer.
func (b *tab) open(address string) {
	b.Helper()
	// Changing only the fragment of a file's address would not load the file again.
	do(b, chromedp.Navigate("about:blank"))
	do(b, chromedp.Navigate(address))
	b.wait(`globalThis.writeScripts !== undefined && document.getElementById("status").textContent !== "Loading …"`)
}

// wait waits until a condition holds on the page.
func (b *tab) wait(condition string) {
	b.Helper()
	do(b, chromedp.Poll[bool](condition, chromedp.WithPollingTimeout(0)))
}

// evaluate runs JavaScript on the page, and waits if the result is a promise. The values of given are passed as JSON,
// in the variable given.
func evaluate[T any](b *tab, script string, given ...any) T {
	b.Helper()
	values, err := json.Marshal(given)
	if err != nil {
		b.Fatal(err)
	}
	return do(b, chromedp.Evaluate[T](fmt.Sprintf("(async (given) => { %s })(%s)", script, values), chromedp.EvalAwaitPromise))
}

// press presses keys.
func (b *tab) press(keys string) {
	b.Helper()
	do(b, chromedp.KeyEvent(keys))
}

// focused returns the focused element, by its id or else by its text.
func (b *tab) focused() string {
	b.Helper()
	return evaluate[string](b, "const e = document.activeElement; return e === document.body ? \"\" : e.id || e.textContent;")
}

// tabTo presses the Tab key until an element has the focus. It fails if that never happens, or if the focus isn't
// visible.
func (b *tab) tabTo(wanted string) {
	b.Helper()
	for range 150 {
		b.press("\t")
		at := b.focused()
		if outline := evaluate[string](b, "return getComputedStyle(document.activeElement).outlineStyle;"); at != "" && outline == "none" {
			b.Errorf("the focus on %s can't be seen", at)
		}
		if at == wanted {
			return
		}
	}
	b.Fatalf("the Tab key never gets to %s", wanted)
}

// dress sets the colour scheme and the size of the window.
func (b *tab) dress(scheme string, width, height int64) {
	b.Helper()
	tell(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
	tell(b, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: width, Height: height, DeviceScaleFactor: 1, Mobile: width < 600})
}

// picture writes a screenshot of the page if the directory is set.
func (b *tab) picture(name string, action chromedp.Action[[]byte]) {
	b.Helper()
	dir := os.Getenv(screenshots)
	if dir == "" {
		return
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), do(b, action), 0o644); err != nil {
		b.Fatal(err)
	}
}

// noComplaints fails if the browser has reported an error.
func (b *tab) noComplaints() {
	b.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.complaints) > 0 {
		b.Errorf("the browser complains: %s", strings.Join(b.complaints, "\n"))
	}
}
