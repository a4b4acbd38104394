package main

import (
	"reflect"
	"testing"

	"dagger/mikrotik-tailscale/internal/dagger"
	"dagger/mikrotik-tailscale/recipe"
)

// The engine stores plain arguments in its cache and its traces, and an address may contain a password.
func TestTheModuleTakesAddressesAsSecrets(t *testing.T) {
	module := reflect.TypeFor[MikrotikTailscale]()
	for field := range reflect.TypeFor[recipe.Addresses]().Fields() {
		ours, found := module.FieldByName(field.Name)
		if !found || ours.Type != reflect.TypeFor[*dagger.Secret]() {
			t.Errorf("the module has %s as %v; want a secret", field.Name, ours.Type)
		}
	}
	var m MikrotikTailscale
	for name := range (recipe.Addresses{}).Variables() {
		if _, found := m.secretAddresses()[name]; !found {
			t.Errorf("no step gets %s", name)
		}
	}
}
