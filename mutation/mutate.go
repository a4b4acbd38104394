package main

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
	"slices"
	"strconv"
	"strings"
)

// mutant is one change of a package's source.
type mutant struct {
	id         int
	file       string
	begin, end int // lines
	kind       string
	text       string // the code that is changed
}

func (m mutant) String() string {
	return fmt.Sprintf("%s:%d: %s: %s", m.file, m.begin, m.kind, m.text)
}

// insertion is text around a part of the source.
type insertion struct {
	begin, end    int // offsets
	before, after string
}

// mutator puts all mutants of a package into its source, each behind a switch, so that one compilation is enough for
// all of them.
type mutator struct {
	fset    *token.FileSet
	info    *types.Info
	pkg     *types.Package
	left    map[int]bool // mutants that are left out because they don't compile
	mutants []mutant
	next    int
	// constants have one mutant each, however often they are used.
	constants map[types.Object]int
	// series are constants that are declared with iota or without a value. They aren't changed, because a changed one would
	// equal another one.
	series map[types.Object]bool

	file    *ast.File
	name    string
	source  []byte
	parents []ast.Node
	inserts []insertion
}

func (m *mutator) offset(p token.Pos) int { return m.fset.Position(p).Offset }

func (m *mutator) text(n ast.Node) string {
	return string(m.source[m.offset(n.Pos()):m.offset(n.End())])
}

// number numbers the next mutants, one for each text. It returns the first number, and whether any of them is in use.
func (m *mutator) number(n ast.Node, kind string, texts ...string) (first int, used bool) {
	first = m.next + 1
	for _, text := range texts {
		m.next++
		if m.left[m.next] {
			continue
		}
		used = true
		short, _, cut := strings.Cut(strings.TrimSpace(text), "\n")
		if cut {
			short += " …"
		}
		m.mutants = append(m.mutants, mutant{m.next, m.name, m.fset.Position(n.Pos()).Line, m.fset.Position(n.End()).Line, kind, short})
	}
	return first, used
}

// wrap adds one mutant, with text around a node. The text has %d for the mutant's number.
func (m *mutator) wrap(n ast.Node, kind, before, after string) {
	if id, used := m.number(n, kind, m.text(n)); used {
		m.insert(n, strings.ReplaceAll(before, "%d", strconv.Itoa(id)), strings.ReplaceAll(after, "%d", strconv.Itoa(id)))
	}
}

func (m *mutator) insert(n ast.Node, before, after string) {
	m.inserts = append(m.inserts, insertion{m.offset(n.Pos()), m.offset(n.End()), before, after})
}

// mutate returns the source of a file with its mutants.
func (m *mutator) mutate(name string, file *ast.File, source []byte) []byte {
	m.file, m.name, m.source, m.inserts, m.parents = file, name, source, nil, nil
	ast.Inspect(file, func(n ast.Node) bool {
		if n == nil {
			m.parents = m.parents[:len(m.parents)-1]
			return true
		}
		if isConstant(n) {
			return false
		}
		m.visit(n)
		m.parents = append(m.parents, n)
		return true
	})
	return m.written()
}

// isConstant reports whether everything below a node must be known when the program is compiled.
func isConstant(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.GenDecl:
		return n.Tok == token.CONST || n.Tok == token.IMPORT || n.Tok == token.TYPE
	case *ast.ArrayType, *ast.StructType, *ast.FuncType, *ast.InterfaceType:
		return true
	}
	return false
}

// written returns the source with the insertions. An outer insertion surrounds the ones inside it.
func (m *mutator) written() []byte {
	type piece struct {
		at    int
		after bool
		other int // the other end
		index int
		text  string
	}
	var pieces []piece
	for i, x := range m.inserts {
		pieces = append(pieces, piece{x.begin, false, x.end, i, x.before}, piece{x.end, true, x.begin, i, x.after})
	}
	slices.SortStableFunc(pieces, func(a, b piece) int {
		if a.at != b.at {
			return cmp.Compare(a.at, b.at)
		}
		if a.after != b.after { // text after a node comes before text in front of the next one
			if a.after {
				return -1
			}
			return 1
		}
		if a.other != b.other {
			return cmp.Compare(b.other, a.other)
		}
		if a.after {
			return cmp.Compare(b.index, a.index)
		}
		return cmp.Compare(a.index, b.index)
	})
	var out []byte
	at := 0
	for _, p := range pieces {
		out = append(append(out, m.source[at:p.at]...), p.text...)
		at = p.at
	}
	return append(out, m.source[at:]...)
}

func (m *mutator) parent() ast.Node {
	if len(m.parents) == 0 {
		return nil
	}
	return m.parents[len(m.parents)-1]
}

func (m *mutator) visit(n ast.Node) {
	if s, ok := n.(ast.Stmt); ok {
		m.statement(s)
	}
	switch n := n.(type) {
	case *ast.FuncDecl:
		if n.Body != nil && len(n.Body.List) > 0 {
			m.early(n.Body, n.Type, n.Name.Name)
		}
	case *ast.IfStmt:
		m.wrap(n.Cond, "condition inverted", "(", ") != mutationIs(%d)")
		m.wrap(n.Cond, "check removed", "(", ") && !mutationIs(%d)")
	case *ast.ForStmt:
		if n.Cond != nil {
			m.wrap(n.Cond, "loop removed", "(", ") && !mutationIs(%d)")
		}
	case *ast.ReturnStmt:
		if last := len(n.Results) - 1; last >= 0 && m.isError(n.Results[last]) {
			m.wrap(n.Results[last], "error dropped", "mutationZero[error](%d, ", ")")
		}
	case *ast.BinaryExpr:
		m.binary(n)
	case *ast.UnaryExpr:
		if n.Op == token.NOT && !m.isCondition(n) {
			m.wrap(n, "condition inverted", "(", " != mutationIs(%d))")
		}
	case *ast.BasicLit:
		m.literal(n)
	case *ast.Ident:
		m.identifier(n)
	case *ast.CompositeLit:
		m.elements(n)
	}
}

// statement adds a mutant that lacks the statement.
func (m *mutator) statement(s ast.Stmt) {
	switch m.parent().(type) {
	case *ast.BlockStmt, *ast.CaseClause, *ast.CommClause:
	default:
		return
	}
	if c, ok := m.parent().(*ast.CommClause); ok && c.Comm == s {
		return
	}
	switch s := s.(type) {
	case *ast.ExprStmt:
		if call, ok := s.X.(*ast.CallExpr); ok {
			if f, ok := call.Fun.(*ast.Ident); ok && f.Name == "panic" {
				return
			}
		}
	case *ast.AssignStmt:
		if s.Tok == token.DEFINE || slices.IndexFunc(s.Lhs, func(e ast.Expr) bool { i, ok := e.(*ast.Ident); return !ok || i.Name != "_" }) < 0 {
			return
		}
	case *ast.ReturnStmt:
		if len(s.Results) > 0 {
			return
		}
	case *ast.IncDecStmt, *ast.SendStmt, *ast.DeferStmt, *ast.GoStmt, *ast.BranchStmt, *ast.RangeStmt:
	default:
		return
	}
	m.wrap(s, "statement removed", "if !mutationIs(%d) { ", " }")
}

// early adds a mutant in which a function returns immediately, with the zero values of its results.
func (m *mutator) early(body *ast.BlockStmt, f *ast.FuncType, name string) {
	var zeros []string
	if f.Results != nil {
		for _, r := range f.Results.List {
			for range max(1, len(r.Names)) {
				zeros = append(zeros, "*new("+m.text(r.Type)+")")
			}
		}
	}
	id, used := m.number(f, "early return", name)
	if used {
		at := m.offset(body.Lbrace) + 1
		m.inserts = append(m.inserts, insertion{at, at, fmt.Sprintf(" if mutationIs(%d) { return %s }; ", id, strings.Join(zeros, ", ")), ""})
	}
}

func (m *mutator) isError(e ast.Expr) bool {
	t := m.info.TypeOf(e)
	return t != nil && types.Identical(t, types.Universe.Lookup("error").Type())
}

// isCondition reports whether an expression is the whole condition of an if or a for.
func (m *mutator) isCondition(e ast.Expr) bool {
	switch p := m.parent().(type) {
	case *ast.IfStmt:
		return p.Cond == e
	case *ast.ForStmt:
		return p.Cond == e
	}
	return false
}

func (m *mutator) binary(n *ast.BinaryExpr) {
	if m.info.Types[n].Value != nil {
		return
	}
	basic, _ := m.info.TypeOf(n.Y).Underlying().(*types.Basic)
	numeric := basic != nil && basic.Info()&types.IsNumeric != 0
	switch n.Op {
	case token.LAND:
		m.wrap(n.X, "operand removed", "((", ") || mutationIs(%d))")
		m.wrap(n.Y, "operand removed", "((", ") || mutationIs(%d))")
	case token.LOR:
		m.wrap(n.X, "operand removed", "((", ") && !mutationIs(%d))")
		m.wrap(n.Y, "operand removed", "((", ") && !mutationIs(%d))")
	case token.LSS, token.LEQ, token.GTR, token.GEQ:
		m.wrap(n, "bound moved", "((", ") != (mutationIs(%d) && "+m.text(n.X)+" == "+m.text(n.Y)+"))")
		fallthrough
	case token.EQL, token.NEQ:
		if !m.isCondition(n) {
			m.wrap(n, "condition inverted", "((", ") != mutationIs(%d))")
		}
	case token.ADD:
		if numeric {
			m.wrap(n.Y, "sign changed", "mutationSign(%d, ", ")")
		} else if _, ok := n.Y.(*ast.BasicLit); !ok {
			m.wrap(n.Y, "text emptied", "mutationText(%d, ", ")")
		}
	case token.SUB:
		m.wrap(n.Y, "sign changed", "mutationSign(%d, ", ")")
	}
}

// typeName returns a type's name as the file can write it, or an empty string if it can't.
func (m *mutator) typeName(t types.Type) string {
	if t == nil {
		return ""
	}
	known := true
	name := types.TypeString(t, func(p *types.Package) string {
		if p == m.pkg {
			return ""
		}
		for _, i := range m.file.Imports {
			if path, _ := strconv.Unquote(i.Path.Value); path == p.Path() {
				if i.Name != nil {
					return i.Name.Name
				}
				return p.Name()
			}
		}
		known = false
		return ""
	})
	if !known || strings.Contains(name, "untyped") {
		return ""
	}
	return name
}

// isKey reports whether a node is a key that must be a constant or a name.
func (m *mutator) isKey(n ast.Node) bool {
	kv, ok := m.parent().(*ast.KeyValueExpr)
	if !ok || kv.Key != n {
		return false
	}
	literal, ok := m.parents[len(m.parents)-2].(*ast.CompositeLit)
	if !ok {
		return true
	}
	t := m.info.TypeOf(literal)
	if t == nil {
		return true
	}
	_, isMap := t.Underlying().(*types.Map)
	return !isMap
}

func (m *mutator) literal(n *ast.BasicLit) {
	name := m.typeName(m.info.TypeOf(n))
	if name == "" || m.isKey(n) {
		return
	}
	switch n.Kind {
	case token.INT, token.CHAR, token.FLOAT:
		m.wrap(n, "number changed", "mutationChanged["+name+"](%d, ", ")")
	case token.STRING:
		if lines := strings.SplitAfter(strings.Trim(n.Value, "`"), "\n"); n.Value[0] == '`' && len(lines) > 2 {
			if lines[len(lines)-1] == "" {
				lines = lines[:len(lines)-1]
			}
			if id, used := m.number(n, "line removed", lines...); used {
				m.insert(n, fmt.Sprintf("mutationLines[%s](%d, ", name, id), ")")
			}
			return
		}
		m.wrap(n, "text emptied", "mutationText["+name+"](%d, ", ")")
	}
}

// identifier changes true, false, and constants of the package that are a number or a text.
func (m *mutator) identifier(n *ast.Ident) {
	object, ok := m.info.Uses[n].(*types.Const)
	if !ok || m.isKey(n) {
		return
	}
	if object.Parent() == types.Universe {
		if n.Name == "true" || n.Name == "false" {
			m.wrap(n, "condition inverted", "(", " != mutationIs(%d))")
		}
		return
	}
	name := m.typeName(m.info.TypeOf(n))
	kind := object.Val().Kind()
	if object.Pkg() != m.pkg || name == "" || m.series[object] || kind == constant.Bool {
		return
	}
	id, known := m.constants[object]
	used := !m.left[id]
	if !known {
		id, used = m.number(n, "constant changed", n.Name)
		m.constants[object] = id
	}
	if !used {
		return
	}
	function := "mutationChanged"
	if kind == constant.String {
		function = "mutationText"
	}
	m.insert(n, fmt.Sprintf("%s[%s](%d, ", function, name, id), ")")
}

// elements removes elements of lists and maps, and fields.
func (m *mutator) elements(n *ast.CompositeLit) {
	t := m.info.TypeOf(n)
	if t == nil || len(n.Elts) == 0 {
		return
	}
	var texts []string
	for _, e := range n.Elts {
		texts = append(texts, m.text(e))
	}
	switch t.Underlying().(type) {
	case *types.Slice:
		if _, keyed := n.Elts[0].(*ast.KeyValueExpr); keyed || n.Type == nil {
			return
		}
		if id, used := m.number(n, "element removed", texts...); used {
			m.insert(n, fmt.Sprintf("mutationWithout(%d, ", id), ")")
		}
	case *types.Map:
		if n.Type == nil {
			return
		}
		keys := ""
		for _, e := range n.Elts {
			key := e.(*ast.KeyValueExpr).Key
			switch key.(type) {
			case *ast.BasicLit, *ast.Ident, *ast.SelectorExpr:
			default:
				return
			}
			keys += ", " + m.text(key)
		}
		if id, used := m.number(n, "element removed", texts...); used {
			m.insert(n, fmt.Sprintf("mutationWithoutKey(%d, ", id), keys+")")
		}
	case *types.Struct:
		for _, e := range n.Elts {
			kv, ok := e.(*ast.KeyValueExpr)
			if !ok || m.info.Types[kv.Value].Value != nil || m.info.Types[kv.Value].IsNil() {
				continue
			}
			m.wrap(kv.Value, "field left out", "mutationZero(%d, ", ")")
		}
	}
}
