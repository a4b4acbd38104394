package endtoend

import (
	"bufio"
	"bytes"
	"debug/elf"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"
	"unsafe"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"
)

// BenchmarkPages shows which pages of the daemon's program a router uses, and when. Before each phase, no page of the
// program is in memory, so afterwards exactly the used ones are.
//
// The program is the image's, but not packed, on a file system of its own. That file system reads single pages. Without
// that, and with a program unpacked into memory, the kernel would also map the neighbours of each used page.
func BenchmarkPages(b *testing.B) {
	for b.Loop() {
		measurePages(b)
	}
}

func measurePages(b *testing.B) {
	w := newWorld(b)
	w.control.start()
	key := w.control.key(true)
	one, two := w.site(1), w.site(2)
	offer := "TS_EXTRA_ARGS=--accept-routes --advertise-exit-node"
	image := builtImage(b, "amd64", "--compression=none")
	program := watchProgram(b, filepath.Join(image.rootfs, "usr/local/bin/tailscaled"))
	second := w.router(builtImage(b, "amd64"), two, "second", "TS_AUTHKEY="+key, "TS_ROUTES="+two.routes, offer)
	var first *container
	for _, phase := range []struct {
		name string
		do   func()
	}{
		{"start and login", func() {
			first = startContainer(b, options{name: "first", image: image, network: one.container, setup: program.setup(),
				env: []string{"TS_LOGIN_SERVER=" + controlURL, "TS_AUTHKEY=" + key, "TS_ROUTES=" + one.routes, offer}})
			first.running()
			second.running()
			reach(b, first, one, two)
		}},
		{"idle, two minutes", func() { time.Sleep(2 * time.Minute) }},
		{"transfers", func() {
			for _, args := range [][]string{{two.lan4}, {two.lan4, "--reverse"}, {two.lan6}, {two.lan6, "--reverse"}} {
				throughput(b, one.host, two.host, append(args, "--bytes=64M")...)
			}
		}},
		{"DNS", func() { askAll(b, one.host, first.status().Self.TailscaleIPs) }},
		{"commands", func() {
			for _, args := range []string{"status", "status --json", "netcheck", "ping -c 3 second", "ping -c 1 --tsmp second", "ip", "whois 100.64.0.1",
				"dns status", "exit-node list", "switch --list", "version --daemon", "set --exit-node=second", "set --exit-node="} {
				_, _ = first.sh("tailscale " + args)
			}
		}},
		{"relay", func() {
			path := func() string {
				out, _ := first.sh("tailscale ping -c 1 --until-direct=false second")
				return out
			}
			for _, tables := range []string{"iptables", "ip6tables"} {
				one.gateway.command(tables, "-A", "FORWARD", "-p", "udp", "-j", "DROP")
			}
			eventually(b, "the routers use the relay", func() bool { return strings.Contains(path(), "via DERP(test)") })
			throughput(b, one.host, two.host, two.lan4, "--bytes=64M")
			for _, tables := range []string{"iptables", "ip6tables"} {
				one.gateway.command(tables, "-F", "FORWARD")
			}
			eventually(b, "the routers use a direct path", func() bool { return !strings.Contains(path(), "DERP") && strings.Contains(path(), "via ") })
		}},
		{"reconnects", func() {
			w.control.stop()
			w.internet.ip("link", "set", "port11", "down") // the first site's uplink
			time.Sleep(20 * time.Second)
			w.internet.ip("link", "set", "port11", "up")
			w.control.start()
			eventually(b, "the routers are connected again", func() bool { return strings.Count(w.control.server.log(), "Node connected") >= 2 })
			reach(b, first, one, two)
		}},
		{"idle again", func() { time.Sleep(2 * time.Minute) }},
	} {
		phase.do()
		program.record(phase.name)
		program.evict(first)
	}
	program.print()
}

// askAll sends each kind of query to 100.100.100.100.
func askAll(b testing.TB, host namespace, known []string) {
	b.Helper()
	names := []string{"first.tailnet.example.", "nobody.tailnet.example.", "printer.tailnet.example.", "host.corp.example.", "large.corp.example.", "www.internet.example."}
	for _, address := range known {
		names = append(names, reverse(netip.MustParseAddr(address)))
	}
	for _, name := range names {
		for _, kind := range []dnsmessage.Type{dnsmessage.TypeA, dnsmessage.TypeAAAA, dnsmessage.TypePTR, dnsmessage.TypeTXT} {
			for _, s := range services {
				if _, err := raw(host, s.network, s.address, question(b, name, kind, 1232)); err != nil {
					b.Errorf("%s over %s: %v", name, s.network, err)
				}
			}
		}
	}
}

// watched is a program's file whose pages are watched.
type watched struct {
	t        testing.TB
	path     string
	file     *os.File
	mapped   []byte
	sections []*elf.Section
	// zeros are the pages that only have zeros. The launcher leaves them out.
	zeros  []bool
	phases []usedPages
}

// usedPages are the pages that a phase has used.
type usedPages struct {
	phase string
	pages []bool
}

const page = 4096

// watchProgram copies a program to a file system that reads single pages.
func watchProgram(t testing.TB, program string) *watched {
	t.Helper()
	dir := t.TempDir()
	disk, at := filepath.Join(dir, "disk"), filepath.Join(dir, "at")
	command(t, "sh", "-euc", `
		mkdir "$2"
		truncate -s 64M "$1"
		mkfs.ext4 -q "$1"
		mount -o loop "$1" "$2"
		cp "$3" "$2/tailscaled"
		umount "$2"
		mount -o loop "$1" "$2"
		blockdev --setra 0 "$(findmnt -n -o SOURCE "$2")"`, "sh", disk, at, program)
	t.Cleanup(func() {
		if err := unix.Unmount(at, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	w := &watched{t: t, path: filepath.Join(at, "tailscaled")}
	binary, err := elf.Open(program) // the original, because reading the copy would use its pages
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = binary.Close() })
	w.sections = binary.Sections
	content, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	for p := range slices.Chunk(content, page) {
		w.zeros = append(w.zeros, len(bytes.Trim(p, "\x00")) == 0)
	}
	if w.file, err = os.Open(w.path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.file.Close() })
	info, err := w.file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if w.mapped, err = unix.Mmap(int(w.file.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Munmap(w.mapped) })
	if n := count(w.inMemory()); n > 0 {
		t.Fatalf("before the start, %d pages of the program are in memory", n)
	}
	return w
}

// setup returns a script that puts the program into a container. Commands run another copy.
func (w *watched) setup() string {
	return "rm usr/local/bin/tailscale; cp usr/local/bin/tailscaled usr/local/bin/tailscale; mount --bind " + w.path + " usr/local/bin/tailscaled"
}

// inMemory returns which pages of the program are in memory.
func (w *watched) inMemory() []bool {
	w.t.Helper()
	pages := make([]byte, (len(w.mapped)+page-1)/page)
	if _, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&w.mapped[0])), uintptr(len(w.mapped)), uintptr(unsafe.Pointer(&pages[0]))); errno != 0 {
		w.t.Fatalf("mincore: %v", errno)
	}
	in := make([]bool, len(pages))
	for i, p := range pages {
		in[i] = p&1 != 0
	}
	return in
}

func (w *watched) record(phase string) { w.phases = append(w.phases, usedPages{phase, w.inMemory()}) }

// evict removes the program's pages from memory, while the container is stopped.
func (w *watched) evict(c *container) {
	w.t.Helper()
	c.signal(syscall.SIGSTOP)
	defer c.signal(syscall.SIGCONT)
	process, err := unix.PidfdOpen(c.init, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = unix.Close(process) }()
	maps, err := os.Open(fmt.Sprintf("/proc/%d/maps", c.init))
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = maps.Close() }()
	var ranges []unix.Iovec
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		var begin, end uintptr
		if n, _ := fmt.Sscanf(lines.Text(), "%x-%x ", &begin, &end); n == 2 && strings.HasSuffix(lines.Text(), "/usr/local/bin/tailscaled") {
			// The addresses are the other process's.
			r := unix.Iovec{Len: uint64(end - begin)}
			*(*uintptr)(unsafe.Pointer(&r.Base)) = begin
			ranges = append(ranges, r)
		}
	}
	if len(ranges) == 0 {
		w.t.Fatal("the daemon has not mapped the program")
	}
	eventually(w.t, "the program's pages leave the memory", func() bool {
		for i := range ranges {
			if _, _, errno := unix.Syscall6(unix.SYS_PROCESS_MADVISE, uintptr(process), uintptr(unsafe.Pointer(&ranges[i])), 1, unix.MADV_PAGEOUT, 0, 0); errno != 0 {
				w.t.Fatalf("process_madvise: %v", errno)
			}
		}
		// The kernel itself has read the program's header, so that page isn't mapped.
		if err := unix.Fadvise(int(w.file.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
			w.t.Fatal(err)
		}
		return count(w.inMemory()) == 0
	})
}

func count(pages []bool) (n int) {
	for _, used := range pages {
		if used {
			n++
		}
	}
	return n
}

// union returns the pages that any of the phases has used.
func union(phases []usedPages) []bool {
	all := make([]bool, len(phases[0].pages))
	for _, p := range phases {
		for i, used := range p.pages {
			all[i] = all[i] || used
		}
	}
	return all
}

// print prints the used kilobytes of each section, and how many would be used if the kernel could only read larger
// blocks.
func (w *watched) print() {
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(name string, cell func(pages []bool) int) {
		_, _ = fmt.Fprintf(table, "%s\t%d\t", name, cell(slices.Repeat([]bool{true}, len(w.zeros))))
		for _, p := range w.phases {
			_, _ = fmt.Fprintf(table, "%d\t", cell(p.pages))
		}
		_, _ = fmt.Fprintf(table, "%d\t%d\t\n", cell(union(w.phases[1:])), cell(union(w.phases)))
	}
	_, _ = fmt.Fprint(table, "\nkB\tall\t")
	for _, p := range w.phases {
		_, _ = fmt.Fprintf(table, "%s\t", p.phase)
	}
	_, _ = fmt.Fprintln(table, "after the start\tever\t")
	for _, s := range w.sections {
		if s.Type == elf.SHT_NOBITS || s.Flags&elf.SHF_ALLOC == 0 || s.Size < page {
			continue
		}
		begin, end := int(s.Offset/page), int((s.Offset+s.Size+page-1)/page)
		row(s.Name, func(pages []bool) int { return w.size(pages, begin, end) })
	}
	for _, block := range []int{1, 4, 16, 64} {
		row(fmt.Sprintf("in blocks of %d kB", block*page/1024), func(pages []bool) (kb int) {
			for begin := 0; begin < len(pages); begin += block {
				if end := min(begin+block, len(pages)); w.size(pages, begin, end) > 0 {
					kb += w.size(slices.Repeat([]bool{true}, len(pages)), begin, end)
				}
			}
			return kb
		})
	}
	_ = table.Flush()
}

// size returns the size of the used pages in a range, without pages of zeros, in kilobytes.
func (w *watched) size(pages []bool, begin, end int) (kb int) {
	for i := begin; i < end; i++ {
		if pages[i] && !w.zeros[i] {
			kb += page / 1024
		}
	}
	return kb
}
