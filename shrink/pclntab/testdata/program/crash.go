package main

import (
	"errors"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"syscall"
	"time"
)

var crashes = map[string]func(){
	"panic":     func() { deep(4, func() { panic(errors.New("boo")) }) },
	"inlined":   func() { deep(4, func() { inlined(nil) }) },
	"repanic":   repanic,
	"nilmap":    func() { var m map[string]int; m["a"]++ },
	"nilptr":    func() { deep(2, func() { println(nothing.value) }) },
	"nilmethod": func() { var v valuer = nothing; println(v.get()) },
	"generic":   func() { of[int]{}.panics(struct{ s string }{"x"}) },
	"goroutine": inGoroutine,
	"method":    func() { go (&number{1}).panics(); wait() },
	"index":     func() { println([]int{1}[len(os.Args)+7]) },
	"overflow":  func() { debug.SetMaxStack(1 << 20); println(endless(1)) },
	"deadlock":  func() { <-make(chan bool) },
	"goexit":    func() { runtime.Goexit() },
	"throw":     func() { new(sync.Mutex).Unlock() },
	"fault":     fault,
	"abort":     func() { sendSelf(syscall.SIGABRT) },
	"quit":      quit,
	"logged":    logged,
}

var nothing *number

type valuer interface{ get() int }

type number struct{ value int }

func (n number) get() int { return n.value }

//go:noinline
func (n *number) panics() { panic(n.value) }

type of[T any] struct{}

func (of[T]) panics(v any) { panicWith[T](v) }

//go:noinline
func panicWith[T any](v any) { panic(v) }

//go:noinline
func deep(n int, f func()) {
	if n == 0 {
		f()
		return
	}
	deep(n-1, f)
	runtime.KeepAlive(n)
}

func inlined(m map[string]int) { inlinedMore(m) }

func inlinedMore(m map[string]int) { m["x"] = 1 }

func repanic() {
	defer func() { panic("once more") }()
	defer func() {
		recover()
		panic("again")
	}()
	panic("first")
}

func inGoroutine() {
	start := func(f func()) { go f() } // inlined
	start(func() { deep(1, func() { panic("in a goroutine") }) })
	wait()
}

// fault reads memory that must not be read. No program survives that.
func fault() {
	page, err := syscall.Mmap(-1, 0, os.Getpagesize(), syscall.PROT_NONE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		panic(err)
	}
	println(page[1])
}

func wait() {
	for {
		time.Sleep(time.Hour)
	}
}

func endless(n int) int {
	if n < 0 {
		return 0
	}
	return endless(n+1) + 1
}

// sendSelf sends a signal to the thread on which it runs.
func sendSelf(s syscall.Signal) {
	runtime.LockOSThread()
	if err := syscall.Tgkill(os.Getpid(), syscall.Gettid(), s); err != nil {
		panic(err)
	}
	wait()
}

// quit gets a request to print the stacks of all goroutines, of which there are many kinds.
func quit() {
	var lock sync.Mutex
	lock.Lock()
	none := make(chan int)
	go func() { <-none }()
	go func() { none <- 1 }()
	go func() { select {} }()
	go func() { lock.Lock() }()
	go wait()
	go (&number{2}).waits()
	go deep(3, func() { inlinedWait() })
	var group sync.WaitGroup
	group.Go(func() { <-none })
	time.AfterFunc(time.Millisecond, func() { <-none })
	go func() {
		for n := 0; ; n++ {
			if n < 0 {
				return
			}
		}
	}()
	for range 3 { // all of them start
		time.Sleep(50 * time.Millisecond)
		runtime.Gosched()
	}
	sendSelf(syscall.SIGQUIT)
}

func inlinedWait() { wait() }

func (n *number) waits() { wait() }

// logged prints a stack like a server that survives a panic.
func logged() {
	defer func() {
		recover()
		debug.PrintStack()
		os.Exit(2)
	}()
	deep(3, func() { inlined(nil) })
}
