package size

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var accepted = Report{Version: "1.0.0-mt.1", Platforms: []Platform{
	{Name: "arm", Linked: 3000, Stored: 1300, Components: []Component{{"tailscale", 2000, 1000}, {"busybox", 700, 200}, {"certificates", 300, 100}}},
	{Name: "arm64", Linked: 9000, Stored: 4000, Components: []Component{{"tailscale", 9000, 4000}}},
}}

func TestTheErrorListsGrowthByComponent(t *testing.T) {
	now := Report{Platforms: []Platform{
		{Name: "arm", Linked: 3000, Stored: 1550, Components: []Component{{"tailscale", 2000, 1300}, {"busybox", 700, 150}, {"extra files", 100, 100}}},
		{Name: "arm64", Linked: 9000, Stored: 4000, Components: []Component{{"tailscale", 9000, 4000}}},
	}}
	err := Check(now, accepted)
	if err == nil {
		t.Fatal("no error")
	}
	want := `images have grown over their budget, bytes:
  platform     component  budget   now  grown by
       arm     tailscale    1000  1300       300
       arm       busybox     200   150       -50
       arm   extra files       0   100       100
       arm  certificates     100     0      -100
       arm           all    1300  1550       250
`
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Errorf("the error differs (-want +got):\n%s", diff)
	}
}

func TestSmallChangesAreWithinTheBudget(t *testing.T) {
	for stored, within := range map[int64]bool{4000: true, 4020: true, 4021: false, 1: true} {
		err := Check(Report{Platforms: []Platform{{Name: "arm64", Stored: stored}}}, accepted)
		if (err == nil) != within {
			t.Errorf("%d bytes: %v", stored, err)
		}
	}
}

func TestAPlatformWithoutABudgetIsAnError(t *testing.T) {
	err := Check(Report{Platforms: []Platform{{Name: "mips", Stored: 1}}}, accepted)
	if err == nil || !strings.Contains(err.Error(), `no platform "mips"`) {
		t.Errorf("error = %v", err)
	}
}

func TestAReportSurvivesJSON(t *testing.T) {
	text, err := accepted.JSON()
	if err != nil {
		t.Fatal(err)
	}
	again, err := Parse(text)
	if diff := cmp.Diff(accepted, again); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if _, err := Parse("{"); err == nil || !strings.Contains(err.Error(), "reading a size report: ") {
		t.Errorf("error = %v", err)
	}
}

func TestThePictureHasABarForEachComponent(t *testing.T) {
	text, err := accepted.SVG()
	if err != nil {
		t.Fatal(err)
	}
	bars := 0
	decoder := xml.NewDecoder(strings.NewReader(text))
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("not XML: %v\n%s", err, text)
		}
		if start, ok := token.(xml.StartElement); ok && start.Name.Local == "rect" {
			bars++
		}
	}
	if bars != 4+3 { // one more for each name in the key
		t.Errorf("%d bars:\n%s", bars, text)
	}
	for _, want := range []string{"tailscale: 1000 bytes", ">arm64<", "1.0.0-mt.1"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing", want)
		}
	}
}
