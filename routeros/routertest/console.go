package routertest

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// No parser for RouterOS's scripting language can be installed by a test, so this file parses and runs the part of
// the language that the scripts use. It is stricter than RouterOS where RouterOS is known to guess: all operators in
// one pair of parentheses must be the same, and variables must be declared. A variable must not have the name of a
// command's argument, because "find where" would use the argument.

// node is a value in a script.
type node struct {
	kind    string // string, word, variable, command, expression or block
	text    string
	line    int
	args    []argument // of a command
	terms   []node     // of an expression, or an element that is reached with ->
	ops     []string   // between the terms
	negated bool
	where   []condition
	find    bool
	body    []node // of a block: its commands
}

type argument struct {
	key   string
	value node
}

// condition is a condition after "where".
type condition struct {
	property, op string
	negated      bool
	value        node
}

type parser struct {
	text string
	at   int
}

// parse parses a script. The error says what is wrong, and where.
func parse(script string) (commands []node, err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case SyntaxError:
			err = r
		default:
			panic(r)
		}
	}()
	p := &parser{text: script}
	commands = p.commands(0)
	return commands, nil
}

// SyntaxError is the error for a script that RouterOS can't parse.
type SyntaxError struct{ error }

func (p *parser) line() int { return 1 + strings.Count(p.text[:min(p.at, len(p.text))], "\n") }

func (p *parser) fail(format string, a ...any) {
	panic(SyntaxError{fmt.Errorf("line %d: %s", p.line(), fmt.Sprintf(format, a...))})
}

func (p *parser) peek() byte {
	if p.at < len(p.text) {
		return p.text[p.at]
	}
	return 0
}

func (p *parser) has(s string) bool { return strings.HasPrefix(p.text[p.at:], s) }

func (p *parser) expect(s string) {
	if !p.has(s) {
		p.fail("want %q, not %.20q", s, p.text[p.at:])
	}
	p.at += len(s)
}

func (p *parser) blanks() {
	for p.peek() == ' ' || p.peek() == '\t' {
		p.at++
	}
}

// commands parses up to the closing character, or up to the end if there is none.
func (p *parser) commands(closing byte) []node {
	var all []node
	for {
		for p.peek() == ' ' || p.peek() == '\t' || p.peek() == '\n' || p.peek() == ';' {
			p.at++
		}
		switch c := p.peek(); {
		case c == 0 && closing == 0:
			return all
		case c == 0:
			p.fail("%q is missing", closing)
		case c == closing:
			p.at++
			return all
		case c == '#':
			for p.peek() != '\n' && p.peek() != 0 {
				p.at++
			}
			if p.text[p.at-1] == '\\' {
				p.fail("the comment goes on in the next line")
			}
		case c == '{':
			p.at++
			all = append(all, node{kind: "block", line: p.line(), body: p.commands('}')})
		default:
			all = append(all, p.command())
		}
	}
}

var commandForm = regexp.MustCompile(`^(:[a-z]+|(/[a-z0-9-]+)+|\$[A-Za-z]+|find\b)`)

func (p *parser) command() node {
	name := commandForm.FindString(p.text[p.at:])
	if name == "" {
		p.fail("no command: %.30q", p.text[p.at:])
	}
	n := node{kind: "command", text: name, line: p.line()}
	p.at += len(name)
	for {
		p.blanks()
		switch c := p.peek(); {
		case c == 0 || c == '\n' || c == ';' || c == ']' || c == '}':
			return n
		case p.has("where "):
			p.at += len("where ")
			n.where, n.find = p.conditions(), true
		default:
			n.args = append(n.args, p.argument())
		}
		if c := p.peek(); c != 0 && !strings.ContainsRune(" \t\n;]}", rune(c)) {
			p.fail("a blank is missing before %.20q", p.text[p.at:])
		}
	}
}

var keyForm = regexp.MustCompile(`^[a-z][a-z0-9-]*=`)

func (p *parser) argument() argument {
	key := keyForm.FindString(p.text[p.at:])
	p.at += len(key)
	return argument{strings.TrimSuffix(key, "="), p.value()}
}

var (
	variablePattern = regexp.MustCompile(`^\$[A-Za-z0-9]+`)
	wordForm        = regexp.MustCompile(`^[!A-Za-z0-9][A-Za-z0-9._:/,-]*`)
	propertyForm    = regexp.MustCompile(`^!?[a-z][a-z-]*`)
)

func (p *parser) value() node {
	n := node{line: p.line()}
	switch c := p.peek(); {
	case c == '"':
		n.kind, n.text = "string", p.quoted()
	case c == '$':
		n.kind, n.text = "variable", variablePattern.FindString(p.text[p.at:])
		if n.text == "" {
			p.fail("no variable: %.20q", p.text[p.at:])
		}
		p.at += len(n.text)
		n.text = n.text[1:]
	case c == '[':
		p.at++
		inner := p.commands(']')
		if len(inner) != 1 {
			p.fail("%d commands in brackets", len(inner))
		}
		return inner[0]
	case c == '(':
		return p.expression()
	case c == '{':
		p.at++
		n.kind, n.body = "block", p.commands('}')
	default:
		n.kind, n.text = "word", wordForm.FindString(p.text[p.at:])
		if n.text == "" {
			p.fail("no value: %.20q", p.text[p.at:])
		}
		p.at += len(n.text)
	}
	return n
}

// quoted parses a string. RouterOS replaces variables after a dollar sign, which the scripts never need.
func (p *parser) quoted() string {
	p.expect(`"`)
	var b strings.Builder
	for {
		c := p.peek()
		p.at++
		switch {
		case c == 0 || c == '\n':
			p.fail("the string does not end")
		case c == '"':
			return b.String()
		case c == '$' || c == '?' || c < ' ' || c > '~':
			p.fail("%q in a string", c)
		case c == '\\':
			b.WriteByte(p.escape())
		default:
			b.WriteByte(c)
		}
	}
}

func (p *parser) escape() byte {
	if c := p.peek(); c == '"' || c == '\\' || c == '$' {
		p.at++
		return c
	}
	digits := p.text[p.at:min(p.at+2, len(p.text))]
	code, err := strconv.ParseUint(digits, 16, 8)
	if err != nil || strings.ToUpper(digits) != digits {
		p.fail("unknown escape \\%s", digits)
	}
	p.at += 2
	return byte(code)
}

// operators, longer ones first.
var operators = []string{"&&", "||", "!=", "<=", ">=", "=", "<", ">", "~", ".", "+", "-"}

func (p *parser) expression() node {
	p.expect("(")
	n := node{kind: "expression", line: p.line()}
	if p.peek() == '!' {
		p.at++
		n.negated = true
	}
	n.terms = append(n.terms, p.term())
	for {
		p.blanks()
		if p.peek() == ')' {
			p.at++
			if n.negated && len(n.ops) > 0 {
				p.fail("it is not clear what is negated")
			}
			return n
		}
		op := ""
		for _, o := range operators {
			if p.has(o) {
				op = o
				break
			}
		}
		if op == "" {
			p.fail("no operator: %.20q", p.text[p.at:])
		}
		chained := op == "&&" || op == "||" || op == "." || op == "+"
		if len(n.ops) > 0 && (n.ops[0] != op || !chained) {
			p.fail("%s and %s in the same parentheses", n.ops[0], op)
		}
		p.at += len(op)
		p.blanks()
		n.ops = append(n.ops, op)
		n.terms = append(n.terms, p.term())
	}
}

// term parses a value or an element of one.
func (p *parser) term() node {
	n := p.value()
	for p.has("->") {
		p.at += 2
		n = node{kind: "element", line: n.line, terms: []node{n, p.value()}}
	}
	return n
}

func (p *parser) conditions() []condition {
	var all []condition
	for {
		name := propertyForm.FindString(p.text[p.at:])
		if name == "" {
			p.fail("no property: %.20q", p.text[p.at:])
		}
		p.at += len(name)
		c := condition{property: strings.TrimPrefix(name, "!"), negated: name[0] == '!'}
		if op := p.peek(); op == '=' || op == '~' {
			p.at++
			c.op, c.value = string(op), p.value()
		}
		all = append(all, c)
		if !p.has(" and ") {
			return all
		}
		p.at += len(" and ")
	}
}

// console runs scripts on a router.
type console struct {
	router *Router
}

// scriptError is the error of :error and of failing commands. :onerror catches it.
type scriptError struct{ text string }

func (e scriptError) Error() string { return e.text }

// scope has the variables of a block.
type scope struct {
	outer *scope
	vars  map[string]any
}

func (s *scope) find(name string) *scope {
	for ; s != nil; s = s.outer {
		if _, ok := s.vars[name]; ok {
			return s
		}
	}
	return nil
}

func newScope(outer *scope) *scope { return &scope{outer, map[string]any{}} }

// Parse returns an error if RouterOS could not parse a script.
func Parse(script string) error {
	_, err := parse(script)
	return err
}

// Run imports a script. If its syntax is wrong, Run does nothing and returns a SyntaxError. Run panics over mistakes
// that fail on every router, for example unknown commands.
func (r *Router) Run(script string) (err error) {
	commands, err := parse(script)
	if err != nil {
		return err
	}
	c := &console{router: r}
	defer func() {
		switch e := recover().(type) {
		case nil:
		case scriptError:
			err = e
		case powerFailure:
			err = e
		default:
			panic(e)
		}
	}()
	c.block(commands, newScope(nil))
	return nil
}

// powerFailure ends a script immediately. The script can't catch it.
type powerFailure struct{ error }

func fail(format string, a ...any) { panic(scriptError{fmt.Sprintf(format, a...)}) }

// broken panics over a mistake in the script itself, which fails on every router.
func broken(n node, format string, a ...any) {
	panic(fmt.Sprintf("line %d: %s", n.line, fmt.Sprintf(format, a...)))
}

func (c *console) block(commands []node, s *scope) {
	for _, n := range commands {
		if n.kind == "block" {
			c.block(n.body, newScope(s))
			continue
		}
		c.command(n, s, "")
	}
}

func (c *console) eval(n node, s *scope, menu string) any {
	switch n.kind {
	case "string":
		return n.text
	case "word":
		if number, err := strconv.ParseInt(n.text, 10, 64); err == nil {
			return number
		}
		switch n.text {
		case "true", "yes":
			return true
		case "false", "no":
			return false
		}
		return n.text
	case "variable":
		found := s.find(n.text)
		if found == nil {
			broken(n, "unknown variable %s", n.text)
		}
		return found.vars[n.text]
	case "command":
		return c.command(n, s, menu)
	case "block":
		return n
	case "element":
		return c.element(n, s)
	case "expression":
		return c.expression(n, s)
	}
	broken(n, "can't evaluate %s", n.kind)
	return nil
}

func (c *console) element(n node, s *scope) any {
	of, key := c.eval(n.terms[0], s, ""), c.eval(n.terms[1], s, "")
	switch of := of.(type) {
	case []any:
		if i, ok := key.(int64); ok && i < int64(len(of)) {
			return of[i]
		}
		return nil
	case map[string]any:
		return of[key.(string)]
	case nil:
		return nil
	}
	fail("%T has no elements", of)
	return nil
}

func (c *console) expression(n node, s *scope) any {
	first := c.eval(n.terms[0], s, "")
	if len(n.ops) == 0 {
		if n.negated {
			return !truth(n, first)
		}
		return first
	}
	for i, op := range n.ops {
		if op == "&&" && !truth(n, first) {
			return false
		}
		if op == "||" && truth(n, first) {
			return true
		}
		first = operate(n, op, first, c.eval(n.terms[i+1], s, ""))
	}
	return first
}

func truth(n node, v any) bool {
	b, ok := v.(bool)
	if !ok {
		broken(n, "%v is neither true nor false", v)
	}
	return b
}

func operate(n node, op string, a, b any) any {
	switch op {
	case "&&", "||":
		return truth(n, b)
	case ".":
		return text(n, a) + text(n, b)
	case "=":
		return fmt.Sprint(a) == fmt.Sprint(b)
	case "!=":
		return fmt.Sprint(a) != fmt.Sprint(b)
	case "~":
		return regexp.MustCompile(text(n, b)).MatchString(text(n, a))
	}
	x, okX := a.(int64)
	y, okY := b.(int64)
	if !okX || !okY {
		broken(n, "%v %s %v: want numbers", a, op, b)
	}
	switch op {
	case "+":
		return x + y
	case "-":
		return x - y
	case "<":
		return x < y
	case ">":
		return x > y
	case "<=":
		return x <= y
	}
	return x >= y
}

// text converts a value that is part of a string. A list would result in a string for each element.
func text(n node, v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case int64, bool:
		return fmt.Sprint(v)
	}
	broken(n, "%T in a text", v)
	return ""
}

func length(v any) int64 {
	switch v := v.(type) {
	case string:
		return int64(len(v))
	case []any:
		return int64(len(v))
	case map[string]any:
		return int64(len(v))
	}
	return 0
}

// named returns the argument of a command with the given name, or nil.
func (n node) named(key string) *node {
	for i := range n.args {
		if n.args[i].key == key {
			return &n.args[i].value
		}
	}
	return nil
}

// plain returns the arguments without a name.
func (n node) plain() []node {
	var all []node
	for _, a := range n.args {
		if a.key == "" {
			all = append(all, a.value)
		}
	}
	return all
}

func (c *console) command(n node, s *scope, menu string) any {
	switch {
	case n.text[0] == '$':
		return c.call(n, s)
	case n.text[0] == ':':
		return c.language(n, s)
	case n.text == "find":
		n.text = menu + "/find"
	}
	cut := strings.LastIndex(n.text, "/")
	return c.router.do(c, n, s, n.text[:cut], n.text[cut+1:])
}

// call runs a function, which only sees its arguments.
func (c *console) call(n node, s *scope) any {
	found := s.find(n.text[1:])
	if found == nil {
		broken(n, "unknown function %s", n.text)
	}
	body, ok := found.vars[n.text[1:]].(node)
	if !ok {
		broken(n, "%s is not a function", n.text)
	}
	inner := newScope(nil)
	for i, a := range n.plain() {
		inner.vars[strconv.Itoa(i+1)] = c.eval(a, s, "")
	}
	return c.returned(body.body, inner)
}

// result is the value of :return.
type result struct{ value any }

// returned runs the body of a function and returns its result.
func (c *console) returned(body []node, s *scope) (value any) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case result:
			value = r.value
		default:
			panic(r)
		}
	}()
	c.block(body, s)
	return nil
}

func (c *console) language(n node, s *scope) any {
	args := n.plain()
	value := func(i int) any {
		if i >= len(args) {
			broken(n, "%s lacks an argument", n.text)
		}
		return c.eval(args[i], s, "")
	}
	body := func(key string) []node {
		b := n.named(key)
		if b == nil || b.kind != "block" {
			broken(n, "%s lacks %s={}", n.text, key)
		}
		return b.body
	}
	switch n.text {
	case ":local":
		if commandArguments[args[0].text] {
			broken(n, "the variable %s has the name of an argument", args[0].text)
		}
		switch {
		case n.named("do") != nil:
			s.vars[args[0].text] = *n.named("do")
		default:
			s.vars[args[0].text] = value(1)
		}
	case ":set":
		v := value(1)
		found := s.find(args[0].text)
		if found == nil {
			broken(n, "unknown variable %s", args[0].text)
		}
		found.vars[args[0].text] = v
	case ":if":
		if truth(n, value(0)) {
			c.block(body("do"), newScope(s))
		} else if n.named("else") != nil {
			c.block(body("else"), newScope(s))
		}
	case ":while":
		for truth(n, value(0)) {
			c.block(body("do"), newScope(s))
		}
	case ":foreach":
		list, _ := c.eval(*n.named("in"), s, "").([]any)
		for _, v := range list {
			inner := newScope(s)
			inner.vars[args[0].text] = v
			c.block(body("do"), inner)
		}
	case ":onerror":
		c.onError(n, s, args[0].text, body("in"), body("do"))
	case ":error":
		fail("%s", text(n, value(0)))
	case ":return":
		panic(result{value(0)})
	case ":put":
		c.router.Said = append(c.router.Said, text(n, value(0)))
	case ":log":
		c.router.Log = append(c.router.Log, args[0].text+": "+text(n, value(1)))
	case ":delay":
		span := fmt.Sprint(value(0))
		seconds, err := strconv.Atoi(strings.TrimSuffix(span, "s"))
		if err != nil {
			broken(n, "delay of %q", span)
		}
		c.router.Wait(seconds)
	case ":len":
		return length(value(0))
	case ":pick":
		t, from, to := []byte(text(n, value(0))), value(1).(int64), value(2).(int64)
		from, to = min(from, int64(len(t))), min(to, int64(len(t)))
		return string(t[from:to])
	case ":find":
		if i := strings.Index(text(n, value(0)), text(n, value(1))); i >= 0 {
			return int64(i)
		}
		return nil
	case ":tonum":
		if number, err := strconv.ParseInt(text(n, value(0)), 10, 64); err == nil {
			return number
		}
		return nil
	case ":tostr":
		return fmt.Sprint(value(0))
	case ":toarray":
		if list, ok := value(0).([]any); ok {
			return list
		}
		list := []any{}
		for element := range strings.SplitSeq(text(n, value(0)), ",") {
			if element != "" {
				list = append(list, element)
			}
		}
		return list
	case ":serialize":
		of, ok := c.eval(*n.named("value"), s, "").(string)
		if !ok {
			broken(n, "only texts are serialized")
		}
		if o := n.named("options"); o == nil || o.text != "json.no-string-conversion" {
			broken(n, "a text of digits would become a number")
		}
		return serialize(of)
	case ":typeof":
		switch value(0).(type) {
		case []any, map[string]any:
			return "array"
		case nil:
			return "nothing"
		case string:
			return "str"
		}
		return "num"
	case ":deserialize":
		return deserialize(text(n, c.eval(*n.named("value"), s, "")))
	default:
		broken(n, "unknown command %s", n.text)
	}
	return nil
}

func (c *console) onError(n node, s *scope, name string, in, do []node) {
	caught := func() (caught error) {
		defer func() {
			switch e := recover().(type) {
			case nil:
			case scriptError:
				caught = e
			default:
				panic(e)
			}
		}()
		c.block(in, newScope(s))
		return nil
	}()
	var e scriptError
	if errors.As(caught, &e) {
		inner := newScope(s)
		inner.vars[name] = e.text
		c.block(do, inner)
	}
}
