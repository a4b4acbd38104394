package main

import (
	"os"
	"strings"
	"testing"
)

func TestThePageHasTheCurrentTable(t *testing.T) {
	page, err := os.ReadFile("../../../docs/reference.md")
	if err != nil {
		t.Fatal(err)
	}
	want, err := insert(page)
	if err != nil {
		t.Fatal(err)
	}
	if string(page) != string(want) {
		t.Error("the table in docs/reference.md is not the supervisor's: run go run ./daemon/supervisor/table docs/reference.md")
	}
	if got, err := insert([]byte("no table\n")); err == nil || !strings.Contains(err.Error(), "the page lacks the lines") {
		t.Errorf("%q, %v", got, err)
	}
}
