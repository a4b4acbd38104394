package ci

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"go.yaml.in/yaml/v3"
)

// woodpecker is a workflow with the keys that this project's example needs.
type woodpecker struct {
	When     []condition
	Steps    []container
	Services []container
}

type condition struct {
	Event  oneOrMore
	Branch string
	Ref    string
}

type container struct {
	Name        string
	Image       string
	Privileged  bool
	Environment map[string]value
	Settings    map[string]value
	Commands    []string
	When        []condition
}

// oneOrMore is a string or a list of strings.
type oneOrMore []string

func (s *oneOrMore) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		*s = oneOrMore{n.Value}
		return nil
	}
	return n.Decode((*[]string)(s))
}

// value is a plain value or a secret.
type value struct{ plain, secret string }

func (v *value) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		v.plain = n.Value
		return nil
	}
	if n.Kind != yaml.MappingNode || len(n.Content) != 2 || n.Content[0].Value != "from_secret" || n.Content[1].Value == "" {
		var given any
		_ = n.Decode(&given)
		return fmt.Errorf("line %d: %v is neither a plain value nor from_secret", n.Line, given)
	}
	v.secret = n.Content[1].Value
	return nil
}

// readWoodpecker parses a workflow. It reports the mistakes that Woodpecker's own linter would report, as far as they
// can occur in the example.
func readWoodpecker(text []byte) (*woodpecker, error) {
	w := &woodpecker{}
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(w); err != nil {
		return nil, err
	}
	events := []string{"push", "pull_request", "tag"}
	filtered := func(where string, when []condition) error {
		for _, c := range when {
			if len(c.Event) == 0 {
				return fmt.Errorf("%s: a condition without an event", where)
			}
			for _, e := range c.Event {
				if !slices.Contains(events, e) {
					return fmt.Errorf("%s: unknown event %q", where, e)
				}
			}
		}
		return nil
	}
	if len(w.Steps) == 0 {
		return nil, errors.New("no steps")
	}
	if err := filtered("when", w.When); err != nil {
		return nil, err
	}
	for _, c := range slices.Concat(w.Steps, w.Services) {
		switch {
		case c.Name == "":
			return nil, errors.New("a step without a name")
		case c.Image == "":
			return nil, fmt.Errorf("%s has no image", c.Name)
		case len(c.Settings) > 0 && len(c.Commands)+len(c.Environment) > 0:
			return nil, fmt.Errorf("%s has settings and commands or environment", c.Name)
		}
		if err := filtered(c.Name, c.When); err != nil {
			return nil, err
		}
	}
	return w, nil
}
