package pclntab

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// The forms of a crash's lines, after any prefix of a log. A call has a line with its name and a line with its
// location. The address is only printed with GOTRACEBACK=system. Inlined calls have no address of their own.
var (
	callLine    = regexp.MustCompile(`^(|.*\s)` + strippedName() + `\((\.\.\.)?\)(\s*)$`)
	createdLine = regexp.MustCompile(`^(|.*\s)created by ` + strippedName() + `( in goroutine \d+)?(\s*)$`)
	placeLine   = regexp.MustCompile(`^(|.*\s)\?:0( \+0x([0-9a-f]+))?( fp=0x[0-9a-f]+ sp=0x[0-9a-f]+ pc=0x([0-9a-f]+))?(\s*)$`)
	// trapLine has the address at which a signal ended the program, and registerLine an address in a register.
	trapLine     = regexp.MustCompile(`(?:^|\s)PC=0x([0-9a-f]+) m=`)
	registerLine = regexp.MustCompile(`(?:(?:^|\s)PC=0x([0-9a-f]+) m=.*|\[signal .* pc=0x([0-9a-f]+)\]|(?:^|\s)(?:pc|rip|lr) +0x([0-9a-f]+))\s*$`)
	stackLine    = regexp.MustCompile(`(?:^|\s)goroutine \d+ .*\[.*\].*:\s*$|runtime stack:\s*$`)
)

// strippedName returns an expression for every name that Strip leaves, as a crash prints it.
func strippedName() string {
	names := append(append([]string{unknownName, unknownRoutine}, wholeNames...), nameBeginnings...)
	for i, name := range names {
		names[i] = regexp.QuoteMeta(printed(name))
	}
	// The longest first, because one name may be the prefix of another.
	slices.SortFunc(names, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	return "(" + strings.Join(names, "|") + ")"
}

// Symbolize copies the text of a stripped program's crash, for example a log, and adds what the program's symbols
// file contains: the names, files and lines of calls, and of addresses in registers. It copies all other text
// unchanged. It can't add anything to stacks without addresses, for example stacks from runtime.Stack that a program
// logs and survives. If the crash is from another build than the symbols, Symbolize writes nothing and returns an
// error.
func Symbolize(symbols []byte, crash io.Reader, out io.Writer) error {
	s, err := readSymbols(symbols)
	if err != nil {
		return fmt.Errorf("reading the symbols: %w", err)
	}
	text, err := io.ReadAll(crash)
	if err != nil {
		return fmt.Errorf("reading the crash: %w", err)
	}
	c := crashText{symbolFile: s}
	for line := range strings.Lines(string(text)) {
		c.lines = append(c.lines, line)
	}
	for i := range c.lines {
		if err := c.line(i); err != nil {
			return fmt.Errorf("line %d of the crash: %w", i+1, err)
		}
	}
	switch {
	case c.found == 0 && c.stripped:
		return errors.New("the crash has no addresses, so there is nothing to look up: the program prints them with GOTRACEBACK=system in its " +
			"environment, and never in a stack that the program itself logs and survives")
	case c.found == 0:
		return errors.New("this is not the crash of a stripped program: it has no calls of the form " + unknownName + "(...) with addresses")
	}
	_, err = io.WriteString(out, strings.Join(c.lines, ""))
	return err
}

// crashText is a crash whose lines are symbolized one after the other.
type crashText struct {
	*symbolFile
	lines []string
	// found counts the calls whose address was looked up. stripped is true if there was any call of a stripped
	// program.
	found    int
	stripped bool

	// The calls that wait for an address, each with the lines of its name and of its location.
	waiting [][2]int
	name    int // the line of the name whose location comes next, counted from 1
	created bool
	// trap is the address at which a signal ended the program. injected is true if a signal injected the previous
	// call. The next address is then not a return address.
	trap     uint64
	injected bool
	// outermost is the name of the outermost call so far. At the end it is the function that the goroutine started
	// with.
	outermost string
}

func (c *crashText) line(i int) error {
	line := c.lines[i]
	switch {
	case createdLine.MatchString(line):
		c.stripped, c.name, c.created = true, i+1, true
	case callLine.MatchString(line):
		c.stripped, c.name, c.created = true, i+1, false
	case placeLine.MatchString(line):
		return c.place(i)
	case stackLine.MatchString(line):
		c.waiting, c.name, c.injected, c.outermost = nil, 0, false, ""
	default:
		if m := trapLine.FindStringSubmatch(line); m != nil {
			c.trap, _ = strconv.ParseUint(m[1], 16, 64)
		}
		return c.registers(i)
	}
	return nil
}

// place handles a line with the location of a call.
func (c *crashText) place(i int) error {
	name := c.name - 1
	c.name = 0
	if name < 0 {
		return nil
	}
	m := placeLine.FindStringSubmatch(c.lines[i])
	if c.created {
		return c.creator(name, i, m[3])
	}
	c.waiting = append(c.waiting, [2]int{name, i})
	if m[5] == "" {
		return nil
	}
	pc, err := strconv.ParseUint(m[5], 16, 64)
	if err != nil {
		return err
	}
	offset := uint64(0)
	if m[3] != "" {
		if offset, err = strconv.ParseUint(m[3], 16, 64); err != nil {
			return err
		}
	}
	f, in, ok := c.function(pc)
	if !ok || uint64(in) != offset {
		if !strings.HasSuffix(c.lines[i], "\n") {
			return nil // the text may be cut within the address
		}
		return c.otherBuild(pc, offset, f, in)
	}
	trapped := c.injected || pc == c.trap && c.outermost == ""
	if !trapped && in > 0 {
		in-- // from the return address into the call
	}
	frames, err := c.frames(f, in)
	if err != nil {
		return err
	}
	own := frames[len(frames)-1].name
	c.injected = slices.Contains([]string{"runtime.sigpanic", "runtime.asyncPreempt", "runtime.debugCallV2"}, own)
	if own != "runtime.goexit" {
		c.outermost = own
	}
	c.found++
	// Both lists end with the call that has the address.
	for len(frames) > 0 && len(c.waiting) > 0 {
		frame, lines := frames[len(frames)-1], c.waiting[len(c.waiting)-1]
		frames, c.waiting = frames[:len(frames)-1], c.waiting[:len(c.waiting)-1]
		c.setName(lines[0], callLine, printed(frame.name))
		c.setPlace(lines[1], frame.place())
	}
	c.waiting = nil
	return nil
}

func (c *crashText) setName(i int, form *regexp.Regexp, name string) {
	at := form.FindStringSubmatchIndex(c.lines[i])
	c.lines[i] = c.lines[i][:at[4]] + name + c.lines[i][at[5]:]
}

func (c *crashText) setPlace(i int, place string) {
	end := placeLine.FindStringSubmatchIndex(c.lines[i])[3]
	c.lines[i] = c.lines[i][:end] + place + c.lines[i][end+len("?:0"):]
}

// otherBuild returns the error for an address that doesn't fit.
func (c *crashText) otherBuild(pc, offset uint64, f *function, in uint32) error {
	found := "in no function"
	if f != nil {
		name, err := c.symbolFile.name(f.number(nameOffset))
		if err != nil {
			return err
		}
		found = fmt.Sprintf("%#x bytes into %s", in, name)
	}
	return fmt.Errorf("the crash is from another build than the symbols: %#x is %#x bytes into a function there, but %s here. The symbols are of %v",
		pc, offset, found, c.symbolsHeader)
}

// creator handles the two lines about the creator of a goroutine. They only have the offset in a function, not an
// address. That is enough if a single function with such a name starts a goroutine at that offset. If several do, the
// goroutine's own function is usually named after its creator.
func (c *crashText) creator(name, place int, hex string) error {
	offset, err := strconv.ParseUint(hex, 16, 64)
	if err != nil {
		return nil // no offset
	}
	left := createdLine.FindStringSubmatch(c.lines[name])[2]
	var found []frame
	for _, start := range c.starts {
		f, in, ok := c.function(c.textStart + uint64(start))
		if !ok || uint64(in) != offset {
			continue
		}
		frames, err := c.frames(f, in-1)
		if err != nil {
			return err
		}
		creator := frame{frames[len(frames)-1].name, frames[0].file, frames[0].line}
		if shortName(creator.name) != left {
			continue
		}
		if strings.HasPrefix(c.outermost, creator.name+".") {
			found = []frame{creator}
			break
		}
		found = append(found, creator)
	}
	const few = 4
	if len(found) == 0 || len(found) > few {
		return nil
	}
	var names, places []string
	for _, f := range found {
		names, places = append(names, printed(f.name)), append(places, f.place())
	}
	c.setName(name, createdLine, strings.Join(names, " or "))
	c.setPlace(place, strings.Join(places, " or "))
	return nil
}

// registers adds the function and line of an address that is not part of a call.
func (c *crashText) registers(i int) error {
	line := strings.TrimRight(c.lines[i], "\r\n")
	m := registerLine.FindStringSubmatch(line)
	if m == nil {
		return nil
	}
	pc, err := strconv.ParseUint(m[1]+m[2]+m[3], 16, 64)
	if err != nil {
		return nil // no address
	}
	f, in, ok := c.function(pc)
	if !ok {
		return nil
	}
	if in > 0 && strings.HasPrefix(strings.TrimSpace(m[0]), "lr") { // lr is a return address
		in--
	}
	frames, err := c.frames(f, in)
	if err != nil {
		return err
	}
	c.lines[i] = fmt.Sprintf("%s (%s %s)%s", line, printed(frames[0].name), frames[0].place(), c.lines[i][len(line):])
	return nil
}
