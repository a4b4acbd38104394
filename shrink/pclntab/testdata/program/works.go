package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"reflect"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"runtime/trace"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// works prints a line for each thing that works.
func works() {
	type thing struct {
		name string
		run  func() error
	}
	things := []thing{
		{"callers", callers}, {"caller", caller}, {"defer", deferred}, {"goexit", goexit}, {"nil method", nilMethod},
		{"growing stacks", growingStacks}, {"collecting", collecting}, {"preemption", preemption},
		{"reflected calls", reflectedCalls}, {"stack text", stackText}, {"profiles", profiles}, {"trace", tracing},
		{"iterators", iterators}, {"finalizers", finalizers}, {"logs", logs}, {"signals", signals}, {"faults", faults},
	}
	if goarm() != "5" {
		// On ARMv5, Go's own profiler sometimes hangs, even in an unstripped program: its signal may arrive while a
		// 64-bit atomic holds its lock in "kernelcas", and sigprof takes the lock without checking for that name.
		things = append(things, thing{"processor profile", processorProfile})
	}
	for _, c := range things {
		if err := c.run(); err != nil {
			fmt.Printf("%s: %v\n", c.name, err)
			os.Exit(1)
		}
		fmt.Println(c.name)
	}
}

// callers checks that every call is found, including inlined ones, whatever its name.
func callers() error {
	var counts []int
	for _, depth := range []int{1, 5, 200} {
		deep(depth, func() { counts = append(counts, inlinedCount()) })
	}
	if got := []int{counts[1] - counts[0], counts[2] - counts[1]}; !slices.Equal(got, []int{4, 195}) {
		return fmt.Errorf("calls more: %v", got)
	}
	fmt.Println("calls:", counts[0])
	return nil
}

func inlinedCount() int { return inlinedCountMore() }

func inlinedCountMore() int {
	pcs := make([]uintptr, 1000)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(0, pcs)])
	for n := 1; ; n++ {
		f, more := frames.Next()
		if f.PC == 0 || f.Func != nil && f.Entry == 0 {
			return -n
		}
		if !more {
			return n
		}
	}
}

func caller() error {
	pc, _, _, ok := runtime.Caller(0)
	f := runtime.FuncForPC(pc)
	if !ok || f == nil || f.Entry() == 0 || f.Entry() > pc {
		return fmt.Errorf("%v at %#x", f, pc)
	}
	f.FileLine(pc)
	fmt.Println("name:", f.Name())
	if _, _, _, ok := runtime.Caller(1000); ok {
		return errors.New("the list of callers has no end")
	}
	return nil
}

func deferred() (err error) {
	var order []string
	note := func(s string) { order = append(order, s) }
	func() {
		defer func() { note(fmt.Sprint(recover())) }()
		for i := range 3 { // deferred calls in a loop are not open-coded
			defer func() { note(fmt.Sprint(i)) }()
		}
		defer func() {
			defer func() { note(fmt.Sprint("inner ", recover())) }()
			panic("second")
		}()
		defer note("open")
		deep(50, func() { panic("first") })
	}()
	if got := strings.Join(order, ","); got != "open,inner second,2,1,0,first" {
		return errors.New(got)
	}
	defer func() {
		if e, ok := recover().(runtime.Error); !ok || !strings.Contains(e.Error(), "index out of range [9]") {
			err = fmt.Errorf("%v", e)
		}
	}()
	_ = []int{1}[len(os.Args)+7]
	return errors.New("no panic")
}

func goexit() error {
	ran := make(chan string, 2)
	go func() {
		defer close(ran)
		defer func() { ran <- fmt.Sprint(recover()) }()
		deep(20, func() {
			defer func() { ran <- "deferred" }()
			runtime.Goexit()
		})
		ran <- "went on"
	}()
	if got := []string{<-ran, <-ran, <-ran}; !slices.Equal(got, []string{"deferred", "<nil>", ""}) {
		return fmt.Errorf("%q", got)
	}
	return nil
}

// nilMethod makes the runtime parse the name of a method.
func nilMethod() (err error) {
	defer func() {
		e, ok := recover().(error)
		if !ok || !strings.HasPrefix(e.Error(), "value method ") || !strings.HasSuffix(e.Error(), " pointer") {
			err = fmt.Errorf("%v", e)
		}
	}()
	call := reflect.ValueOf(nothing).MethodByName("Get")
	if !call.IsValid() {
		return errors.New("no method")
	}
	call.Call(nil)
	return errors.New("no panic")
}

// Get is called by reflection.
func (n number) Get() int { return n.value }

// growingStacks moves stacks that have pointers into themselves, during garbage collection.
func growingStacks() error {
	stop := make(chan bool)
	go func() {
		for {
			select {
			case <-stop:
				return
			default:
				runtime.GC()
			}
		}
	}()
	defer close(stop)
	var group sync.WaitGroup
	var wrong atomic.Int64
	for i := range 20 {
		group.Go(func() {
			v := i
			if got := grow(&v, 1000); got != i+1000 {
				wrong.Add(1)
			}
		})
	}
	group.Wait()
	if n := wrong.Load(); n > 0 {
		return fmt.Errorf("%d wrong sums", n)
	}
	return nil
}

//go:noinline
func grow(p *int, n int) int {
	var here [8]*int
	for i := range here {
		here[i] = p
	}
	if n == 0 {
		return *here[7]
	}
	next := *here[3] + 1
	defer func() { next += *here[0] }()
	return grow(&next, n-1)
}

type node struct {
	left, right *node
	text        string
}

func tree(depth int) *node {
	if depth == 0 {
		return &node{text: strings.Repeat("x", 10)}
	}
	return &node{tree(depth - 1), tree(depth - 1), fmt.Sprint(depth)}
}

func (n *node) count() int {
	if n.left == nil {
		return len(n.text) / 10
	}
	return n.left.count() + n.right.count()
}

// collecting collects garbage while many goroutines allocate.
func collecting() error {
	const many = 80
	defer debug.SetGCPercent(debug.SetGCPercent(5))
	results := make(chan error, many)
	for i := range many {
		go func() {
			m := map[string]*node{}
			for j := range 10 {
				m[fmt.Sprint(i, j)] = tree(5)
				if j%5 == 0 {
					runtime.Gosched()
				}
			}
			sum := 0
			for _, n := range m {
				sum += n.count()
			}
			if sum != 10*32 {
				results <- fmt.Errorf("%d leaves", sum)
				return
			}
			results <- nil
		}()
	}
	for range many {
		if err := <-results; err != nil {
			return err
		}
	}
	return nil
}

// preemption stops goroutines in loops without calls.
func preemption() error {
	var stop atomic.Bool
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			var here [16]int
			p := &here[0]
			for n := 0; !stop.Load(); n++ {
				for i := range here {
					here[i] += n * i
				}
				*p++
			}
			runtime.KeepAlive(&here)
		})
	}
	for range 20 {
		runtime.GC()
		time.Sleep(time.Millisecond)
	}
	stop.Store(true)
	group.Wait()
	return nil
}

type adder struct{ add []int }

func (a *adder) Sum(b *[]int, s string, more ...*int) (int, *string) {
	runtime.GC()
	sum := len(s)
	for _, v := range append(slices.Clone(a.add), *b...) {
		sum += v
	}
	for _, p := range more {
		sum += *p
	}
	return grow(&sum, 100) - 100, &s
}

// reflectedCalls goes through the frames that the runtime knows by name, with pointers in them.
func reflectedCalls() error {
	made := reflect.MakeFunc(reflect.TypeFor[func(*adder, *[]int, string) (int, *string)](), func(args []reflect.Value) []reflect.Value {
		runtime.GC()
		return args[0].MethodByName("Sum").Call(args[1:])
	}).Interface().(func(*adder, *[]int, string) (int, *string))
	var group sync.WaitGroup
	errs := make(chan error, 40)
	for i := range 20 {
		group.Go(func() {
			a := &adder{[]int{i, 1}}
			if sum, s := made(a, &[]int{2, 3}, "four"); sum != i+10 || *s != "four" {
				errs <- fmt.Errorf("made: %d %q", sum, *s)
			}
			five := 5
			method := reflect.ValueOf(a).Method(0).Interface().(func(*[]int, string, ...*int) (int, *string))
			if sum, s := method(&[]int{2, 3}, "four", &five); sum != i+15 || *s != "four" {
				errs <- fmt.Errorf("method: %d %q", sum, *s)
			}
		})
	}
	group.Wait()
	close(errs)
	return <-errs
}

func stackText() error {
	text := ""
	deep(30, func() { text = string(debug.Stack()) })
	if lines := strings.Count(text, "\n"); lines < 60 {
		return fmt.Errorf("%d lines", lines)
	}
	all := make([]byte, 1<<20)
	if n := runtime.Stack(all, true); n < 50 {
		return fmt.Errorf("all stacks have %d bytes", n)
	}
	return nil
}

func profiles() error {
	runtime.SetBlockProfileRate(1)
	runtime.SetMutexProfileFraction(1)
	for _, p := range pprof.Profiles() {
		for _, form := range []int{0, 1, 2} {
			var out bytes.Buffer
			if err := p.WriteTo(&out, form); err != nil || out.Len() == 0 {
				return fmt.Errorf("%s %d: %d bytes, %v", p.Name(), form, out.Len(), err)
			}
		}
	}
	return nil
}

func processorProfile() error {
	var out bytes.Buffer
	if err := pprof.StartCPUProfile(&out); err != nil {
		return err
	}
	if err := errors.Join(growingStacks(), reflectedCalls()); err != nil {
		return err
	}
	pprof.StopCPUProfile()
	if out.Len() == 0 {
		return errors.New("no processor profile")
	}
	return nil
}

// goarm is the ARM version that this program was compiled for.
func goarm() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		panic("the program has no build information")
	}
	for _, s := range info.Settings {
		if s.Key == "GOARM" {
			return s.Value
		}
	}
	return ""
}

func tracing() error {
	var out bytes.Buffer
	if err := trace.Start(&out); err != nil {
		return err
	}
	trace.WithRegion(context.Background(), "region", func() { runtime.GC() })
	err := collecting()
	trace.Stop()
	if out.Len() == 0 {
		return errors.New("no trace")
	}
	return err
}

func iterators() error {
	next, stop := iter.Pull(func(yield func(int) bool) {
		for i := 0; yield(i); i++ {
			runtime.GC()
		}
	})
	defer stop()
	sum := 0
	for range 10 {
		v, _ := next()
		sum += v
	}
	var err error
	func() {
		defer func() { err, _ = recover().(error) }()
		for range func(yield func() bool) { yield(); yield() } {
			break
		}
	}()
	if sum != 45 || err == nil {
		return fmt.Errorf("%d, %v", sum, err)
	}
	return nil
}

func finalizers() error {
	done := make(chan bool, 2)
	func() {
		a, b := &node{text: "a"}, &node{text: "b"}
		runtime.SetFinalizer(a, func(*node) { done <- true })
		runtime.AddCleanup(b, func(int) { done <- true }, 1)
	}()
	for left := 2; left > 0; {
		runtime.GC()
		select {
		case <-done:
			left--
		case <-time.After(10 * time.Millisecond):
		}
	}
	return nil
}

func logs() error {
	var out bytes.Buffer
	log.New(&out, "", log.Llongfile).Print("one")
	slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{AddSource: true})).Info("two")
	if s := out.String(); !strings.Contains(s, "one") || !strings.Contains(s, "msg=two") {
		return errors.New(s)
	}
	return nil
}

// signals arrive while goroutines do various things.
func signals() error {
	got := make(chan os.Signal, 1000)
	signal.Notify(got, syscall.SIGUSR1)
	defer signal.Stop(got)
	for range 50 {
		if err := syscall.Kill(os.Getpid(), syscall.SIGUSR1); err != nil {
			return err
		}
		<-got
	}
	return nil
}

// faults are panics that the processor causes.
func faults() error {
	for range 20 {
		err := func() (err error) {
			defer func() { err, _ = recover().(error) }()
			deep(10, func() { _, _ = io.WriteString(io.Discard, nothing.name()) })
			return nil
		}()
		if err == nil || !strings.Contains(err.Error(), "nil pointer") {
			return fmt.Errorf("%v", err)
		}
	}
	return nil
}

//go:noinline
func (n *number) name() string { return fmt.Sprint(n.value) }
