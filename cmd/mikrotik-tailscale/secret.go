package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
)

// secretForms are the forms of a secret's place.
const secretForms = "env://NAME or file://PATH"

// readSecret reads a secret from the place that an option names, and removes the line end that editors and echo
// append. The option never takes the secret itself, because other users of the machine see a command's arguments. For
// the same reason, errors do not repeat a value that may be a secret.
func readSecret(option, place string) (string, error) {
	return readSecretFrom(option, place, secretForms)
}

// readSecretFrom is readSecret for an option that accepts other forms, too. The error about a wrong place lists forms.
func readSecretFrom(option, place, forms string) (string, error) {
	if place == "" {
		return "", nil
	}
	scheme, name, found := strings.Cut(place, "://")
	var value string
	switch {
	case found && scheme == "env":
		value = os.Getenv(name)
	case found && scheme == "file":
		text, err := os.ReadFile(name)
		if err != nil {
			return "", fmt.Errorf("reading --%s: %w", option, err)
		}
		value = string(text)
	default:
		return "", fmt.Errorf("--%s does not accept the secret itself, only where to read it from: want %s", option, forms)
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
