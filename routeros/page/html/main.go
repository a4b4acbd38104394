// The program writes the page. Its arguments are the compiled program of the page, Go's wasm_exec.js, the initial
// choices of the page, and the file to write.
package main

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"errors"
	"fmt"
	htmltemplate "html/template"
	"net/url"
	"os"
	"strings"
	"text/template"

	"dagger/mikrotik-tailscale/routeros/page/choices"
)

var (
	//go:embed page.html
	pageTemplate string
	//go:embed form.html
	formTemplate string
	//go:embed page.css
	style string
	//go:embed page.js
	script string
)

func main() {
	if err := write(os.Args[1:]); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func write(arguments []string) error {
	if len(arguments) != 4 {
		return fmt.Errorf("%d arguments: want the program, wasm_exec.js, the choices and the output", len(arguments))
	}
	program, err := os.ReadFile(arguments[0])
	if err != nil {
		return fmt.Errorf("reading the program: %w", err)
	}
	support, err := os.ReadFile(arguments[1])
	if err != nil {
		return fmt.Errorf("reading Go's support for the program: %w", err)
	}
	initial, err := url.ParseQuery(arguments[2])
	if err != nil {
		return fmt.Errorf("reading the choices: %w", err)
	}
	html, err := page(program, string(support), initial)
	if err != nil {
		return fmt.Errorf("writing the page: %w", err)
	}
	return os.WriteFile(arguments[3], html, 0o644)
}

// page returns the whole page.
func page(program []byte, support string, initial choices.Choices) ([]byte, error) {
	form, err := formOf(initial)
	if err != nil {
		return nil, err
	}
	packed, err := pack(program)
	if err != nil {
		return nil, err
	}
	code := support + "\n" + script
	if strings.Contains(code, "</script") {
		return nil, errors.New("the scripts would end in the middle")
	}
	t, err := template.New("").Parse(pageTemplate)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = t.Execute(&b, map[string]string{
		"Policy": policy(code), "Style": style, "Script": code, "Form": form, "Program": packed,
	})
	return b.Bytes(), err
}

// policy returns the content security policy. The page may only run its own code and use its own style, and may send
// no requests.
func policy(code string) string {
	return strings.Join([]string{
		"default-src 'none'", "script-src '" + digest(code) + "' 'wasm-unsafe-eval'", "style-src '" + digest(style) + "'",
		"base-uri 'none'", "form-action 'none'",
	}, "; ")
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// formOf returns the form with its initial choices.
func formOf(initial choices.Choices) (string, error) {
	type part struct {
		Title, Intro string
		Fields, More []control
	}
	var parts []part
	for _, s := range sections {
		fields, err := controls(s.Fields, initial)
		if err != nil {
			return "", err
		}
		more, err := controls(s.More, initial)
		if err != nil {
			return "", err
		}
		parts = append(parts, part{s.Title, s.Intro, fields, more})
	}
	all, err := boards()
	if err != nil {
		return "", err
	}
	t, err := htmltemplate.New("").Parse(formTemplate)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	err = t.Execute(&b, map[string]any{"Sections": parts, "Boards": all})
	return b.String(), err
}

// pack compresses the program and encodes it in characters that a page can contain.
func pack(program []byte) (string, error) {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return "", err
	}
	if _, err := w.Write(program); err != nil {
		return "", err
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(b.Bytes()), nil
}
