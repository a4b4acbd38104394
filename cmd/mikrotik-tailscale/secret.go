package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
)

// secretForms are the forms of a secret.
const secretForms = "env://NAME or file://PATH"

// readSecret reads a secret from the place that an option names, and removes the line end that editors and echo
// append. The option never takes the secret itself, because other users of the machine see a command's arguments. For
// the same reason, errors do not repeat a value that may be a secret.
func readSecret(option, place string) (string, error) {
	if place == "" {
		return "", nil
	}
	scheme, name, _ := strings.Cut(place, "://")
	var value string
	switch scheme {
	case "env":
		value = os.Getenv(name)
	case "file":
		text, err := os.ReadFile(name)
		if err != nil {
			return "", fmt.Errorf("reading --%s: %w", option, err)
		}
		value = string(text)
	default:
		return "", fmt.Errorf("--%s takes the place of the %s, not the %s itself: want %s", option, option, option, secretForms)
	}
	value = strings.TrimRight(value, "\r\n")
	if value == "" {
		return "", fmt.Errorf("no %s in %s", option, place)
	}
	return value, nil
}

// readSecrets reads the secrets of several options.
func readSecrets(places map[string]string) (map[string]string, error) {
	secrets, problems := map[string]string{}, []error(nil)
	for _, option := range slices.Sorted(maps.Keys(places)) {
		secret, err := readSecret(option, places[option])
		if err != nil {
			problems = append(problems, err)
		}
		secrets[option] = secret
	}
	return secrets, errors.Join(problems...)
}
