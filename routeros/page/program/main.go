//go:build js && wasm

// The program writes the scripts in a browser. It provides one function to the page and keeps running to answer
// calls.
package main

import (
	"net/url"
	"syscall/js"

	"dagger/mikrotik-tailscale/routeros/page/choices"
)

func main() {
	js.Global().Set("writeScripts", js.FuncOf(func(_ js.Value, arguments []js.Value) any {
		return answer(arguments[0].String(), arguments[1].String())
	}))
	select {}
}

// answer returns the scripts for the choices on the form, and a link with the choices that differ from the initial
// ones. Both arguments have the form of a query.
func answer(chosen, initial string) any {
	now, err := url.ParseQuery(chosen)
	if err != nil {
		return map[string]any{"message": err.Error()}
	}
	first, err := url.ParseQuery(initial)
	if err != nil {
		return map[string]any{"message": err.Error()}
	}
	a := choices.Write(now)
	link, omitted := choices.Link(now, first)
	var files, additions, steps, problems, names []any
	for _, f := range a.Files {
		files = append(files, map[string]any{"kind": f.Kind, "name": f.Name, "text": f.Text})
	}
	for _, e := range a.Additions {
		additions = append(additions, map[string]any{"menu": e.Menu, "what": e.What})
	}
	for _, s := range a.Steps {
		steps = append(steps, map[string]any{"what": s.What, "command": s.Command})
	}
	for _, p := range a.Problems {
		problems = append(problems, map[string]any{"option": p.Option, "text": p.Error()})
	}
	for _, name := range omitted {
		names = append(names, name)
	}
	return map[string]any{
		"files": files, "additions": additions, "steps": steps, "message": a.Message, "problems": problems,
		"link": link, "omitted": names,
	}
}
