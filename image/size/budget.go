package size

import (
	_ "embed"
	"fmt"
)

//go:embed budget.json
var budget string

// Budget returns the report of the images that were accepted last.
func Budget() (Report, error) { return Parse(budget) }

// slack is how much an image may grow over the budget before Check returns an error, in thousandths. Compilers and
// certificates change a little from month to month.
const slack = 5

// Check compares a report with a budget. If an image has grown, the error contains a table of its components.
func Check(r, budget Report) error {
	accepted := map[string]Platform{}
	for _, p := range budget.Platforms {
		accepted[p.Name] = p
	}
	var grown []Platform
	for _, p := range r.Platforms {
		b, ok := accepted[p.Name]
		if !ok {
			return fmt.Errorf("the size budget has no platform %q", p.Name)
		}
		if p.Stored > b.Stored+b.Stored*slack/1000 {
			grown = append(grown, p)
		}
	}
	if len(grown) == 0 {
		return nil
	}
	return fmt.Errorf("images have grown over their budget, bytes:\n%s", growth(grown, accepted))
}

func growth(grown []Platform, accepted map[string]Platform) string {
	return table("platform\tcomponent\tbudget\tnow\tgrown by", func(row func(...any)) {
		for _, p := range grown {
			b := accepted[p.Name]
			before := map[string]int64{}
			for _, c := range b.Components {
				before[c.Name] = c.Stored
			}
			for _, c := range p.Components {
				row(p.Name, c.Name, before[c.Name], c.Stored, c.Stored-before[c.Name])
				delete(before, c.Name)
			}
			for _, c := range b.Components {
				if _, gone := before[c.Name]; gone {
					row(p.Name, c.Name, c.Stored, 0, -c.Stored)
				}
			}
			row(p.Name, "all", b.Stored, p.Stored, p.Stored-b.Stored)
		}
	})
}
